"""The entries of a run's result: on its training, and on the weights that are evaluated."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import require
from attnjax.runs.placement import Placement
from attnjax.runs.store import Run
from attnjax.runs.weights import default_weights, read_weights
from attnjax.train.distributed import hosts

if TYPE_CHECKING:
    from attnjax.tasks.base import Evaluation
    from attnjax.train.loop import FitResult


def of_training(task: Any, fitted: "FitResult", steps: int) -> dict[str, Any]:
    """Returns the entries of a result on training; the hash is that of the weights after the last step."""
    from attnjax.train.hashing import params_hash
    from attnjax.train.state import count_parameters

    return {
        "step": fitted.step,
        "stopped_early": fitted.step < steps,
        "parameters": count_parameters(fitted.params),
        "params_hash": params_hash(fitted.params),
        "best": None if fitted.best is None else {"step": fitted.best[0], task.monitor[0]: fitted.best[1]},
        "training_seconds": fitted.seconds,
        "resumed_from": fitted.resumed_from,
    }


def of_evaluation(
    this: Run, task: Any, config: Any, fitted: "FitResult", weights: str | None, placement: Placement
) -> dict[str, Any]:
    """Evaluates a run. Returns the entries of its result on that, among them which weights they are of."""
    from attnjax.tasks.rehearsal import table
    from attnjax.train.heads import HeadNumbers
    from attnjax.train.loop import load_params
    from attnjax.train.sharding import ShardingPlan

    plan = ShardingPlan(placement.mesh(), config.train, placement.rules)
    params, weights = fitted.params, weights or default_weights(config)
    best, count = read_weights(weights)
    if best or count > 1:
        nothing = best and fitted.best is None
        require(not nothing, f"--weights {weights}: {task.monitor[0]} is NaN in every validation")
        params = load_params(
            task,
            config.train,
            folder=this.folder,
            best=best,
            count=count,
            mesh=plan.mesh if plan.read_as_they_lie else None,
            rules=placement.rules,
        )
    with ExitStack() as stack:
        # The other hosts compute their share; what they draw is what process 0 draws.
        other = None if hosts().is_main else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = other or this.folder
        stack.enter_context(plan.reading())
        evaluation: Evaluation = task.evaluate(params, folder)
        return {
            "weights": weights,
            "metrics": table("evaluate", evaluation.metrics),
            "heads": HeadNumbers(task)(params),
            "samples": evaluation.samples,
            "figures": [str(Path(figure).relative_to(folder)) for figure in evaluation.figures],
        }
