"""One run from config to result: claim the folder, train (or go on training), evaluate, keep the result."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.experiment import provenance, store, topology
from attnjax.experiment.errors import RunFailed
from attnjax.experiment.provenance import Say
from attnjax.experiment.registry import Experiment
from attnjax.experiment.serialize import encode
from attnjax.experiment.store import Run

if TYPE_CHECKING:
    import jax

    from attnjax.train.loop import FitResult


@dataclass(frozen=True)
class Outcome:
    """How a run ended: with a result, or interrupted at `step` (result None; the next start goes on)."""

    run: Run
    result: dict[str, Any] | None
    step: int
    stored: bool = False
    """The result was there before: nothing ran."""


def run(
    entry: Experiment,
    config: Any,
    *,
    runs: Path,
    devices: int | None = None,
    sinks: Sequence[str] = (),
    accept_changed_code: bool = False,
    fresh: bool = False,
    say: Say = print,
) -> Outcome:
    """Runs `config` in its folder under `runs`, or shows at once what a finished run stored.

    An unfinished run continues from its last checkpoint, on as many devices as it began with (their number
    decides the order of sums, so the bits). A `fresh` one begins anew, and the folder of the one before is
    renamed. Nothing is written before the config and the data are known to be good. `say` gets notes for the
    user: the task's `notes`, and other versions and devices than at the start before.

    Raises InputError for what the user can mend: bad data, a folder that cannot be written or belongs to
    another config, a run that another process works on, one whose code has changed unless that is accepted.
    """
    config = absolute_paths(config)
    this = store.run_for(entry, config, runs)
    this.check_owner(entry, config)
    going_on = this.started and not fresh
    if going_on:
        provenance.require_same_code(this, entry, accept=accept_changed_code, say=say)
        if (result := this.result()) is not None:
            return Outcome(this, result, result["step"], stored=True)
    store.check_writable(runs)
    with ExitStack() as stack:
        if this.started:
            stack.enter_context(this.lock())
        before = provenance.starts(this)[:1] if going_on else []
        began_with = before[0]["devices"] if before else None
        topology.start_jax(devices or began_with)
        task = config.task(this.folder if going_on else None)
        for note in getattr(task, "notes", ()):
            say(note)
        mesh, used = place(config, devices, began_with, say)
        observers = _observers(sinks, this)
        if this.started and fresh:
            say(f"the run before is kept as {store.set_aside(this.folder)}")
        if not going_on:
            store.prepare_folder(this.folder)
            stack.enter_context(this.lock())
            task.save(this.folder)
        # A run that began when the config had fewer fields keeps from now on the values it goes on with.
        if not going_on or this.record()["config"] != encode(config):
            this.write_config(entry, config)
        provenance.record_start(this, provenance.collect(entry, seed=config.seed, devices=used), say)
        return _train_and_evaluate(this, task, config, mesh, observers, say)


def place(
    config: Any, devices: int | None, began_with: int | None, say: Say
) -> "tuple[jax.sharding.Mesh | None, int]":
    """The mesh for a config and its number of devices; says when that is not what was wished for."""
    micro_batch = config.train.batch_size // config.train.accumulate
    used, note = topology.choose_devices(micro_batch, devices, began_with)
    if note:
        say(note)
    return topology.make_mesh(used), used


def train(
    task: Any,
    config: Any,
    folder: Path,
    mesh: "jax.sharding.Mesh | None",
    observers: Sequence[Any] | None = None,
) -> "FitResult":
    """Trains in `folder`, which may hold a part of the work already. Raises RunFailed when it diverges."""
    from attnjax.train.loop import TrainingDiverged, fit

    try:
        return fit(task, config.train, seed=config.seed, folder=folder, mesh=mesh, observers=observers)
    except TrainingDiverged as error:
        raise RunFailed(str(error)) from error


def absolute_paths(config: Any) -> Any:
    """The config with every path made absolute: a stored config is read from other directories as well."""
    if not is_dataclass(config) or isinstance(config, type):
        return config.absolute() if isinstance(config, Path) else config
    return replace(
        config, **{f.name: absolute_paths(getattr(config, f.name)) for f in fields(config) if f.init}
    )


def _train_and_evaluate(
    this: Run, task: Any, config: Any, mesh: Any, observers: Sequence[Any] | None, say: Say
) -> Outcome:
    from attnjax.train.hashing import params_hash

    fitted = train(task, config, this.folder, mesh, observers)
    if fitted.interrupted:
        return Outcome(this, None, fitted.step)
    say("evaluating")
    evaluation = task.evaluate(fitted.params, this.folder)
    result = {
        "step": fitted.step,
        "params_hash": params_hash(fitted.params),
        "best": None if fitted.best is None else {"step": fitted.best[0], task.monitor[0]: fitted.best[1]},
        "training_seconds": round(fitted.seconds, 1),
        "resumed_from": fitted.resumed_from,
        "metrics": evaluation.metrics,
        "samples": evaluation.samples,
        "figures": [str(Path(figure).relative_to(this.folder)) for figure in evaluation.figures],
    }
    store.write_json(this.result_file, result)
    return Outcome(this, result, fitted.step)


def _observers(sinks: Sequence[str], this: Run) -> list[Any] | None:
    if not sinks:
        return None
    from attnjax.train.progress import ProgressBar
    from attnjax.train.sinks import MLflowSink, TensorBoardSink, WandbSink

    makers = {
        "tensorboard": lambda: TensorBoardSink(this.folder / "tensorboard"),
        "wandb": lambda: WandbSink(this.name),
        "mlflow": lambda: MLflowSink(this.name),
    }
    return [ProgressBar(), *(makers[sink]() for sink in sinks)]
