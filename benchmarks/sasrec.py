"""Training and ranking of SASRec beside a plain one in PyTorch: taking turns, each in a process of its own.

    python benchmarks/sasrec.py [--rounds 5] [--small]

Both have two blocks of width 64, two heads, histories of 50 events, dropout 0.1 and Adam, and train on the
same events: with 3,000 items and the loss over all of them, and with a million items and a loss over all or
over 128 that are drawn. Of the latter this package updates the rows alone that a step reads. Ranking takes
the product of users and all items and the 10 best of each row, in PyTorch by `topk`. `--small` has a tenth of
the items and users, for a machine that is busy. Seconds are of one step or of one ranking; the peak is the
most memory that the process held, imports and parameters too.
"""

import argparse
import functools
import multiprocessing
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from _measure import alternate, machine, report, summary
from _sasrec_peer import answer, batch, serve

Spec = dict[str, Any]
SHAPE: Spec = {"dim": 64, "length": 50, "negatives": 128, "kind": "train"}


def ours(pipe: Any, threads: int, spec: Spec) -> None:
    """Serves calls of this package, on one device of the CPU."""
    import jax

    if spec["kind"] == "rank":
        answer(pipe, _ranking(spec))
        return
    from attnjax.models.recommender_config import RecommenderConfig
    from attnjax.tasks.recommendation.config import ItemLossConfig
    from attnjax.tasks.recommendation.task import RecommendationTask
    from attnjax.train.config import TrainConfig
    from attnjax.train.rows import touched_by
    from attnjax.train.state import initial_state
    from attnjax.train.step import make_train_step, traced_values

    class Step(RecommendationTask):
        """The model and loss alone: there is no log."""

        def __init__(self) -> None:
            self.config = RecommenderConfig(
                dim=64, heads=2, layers=2, hidden=128, positions="learned", max_length=50
            )
            alone = spec["loss"] != "full"
            self._loss = ItemLossConfig(spec["loss"], negatives=spec["negatives"], rows_alone=alone)
            self.log: Any = SimpleNamespace(catalogue=spec["items"])

        def build(self, rngs: Any) -> Any:
            from attnjax.models.recommender import Recommender

            return Recommender(self.config, items=spec["items"], rngs=rngs)

    config = TrainConfig(steps=1000, batch_size=spec["batch"], weight_decay=0.0)
    task, key = Step(), jax.random.key(0)
    arrays = batch(spec)
    if spec["loss"] == "full":
        del arrays["negatives"]
    import numpy as np

    arrays["lengths"] = np.full(spec["batch"], spec["length"], np.int32)
    arrays["times"] = np.zeros_like(arrays["items"])
    held = {"state": jax.jit(lambda key: initial_state(task, config, key))(key)}
    traced, given = traced_values(config, {"calibration": 0.75}), jax.device_put(arrays)
    step = jax.jit(make_train_step(task.loss, config, touched_by(task)), donate_argnums=0)

    def call() -> None:
        held["state"], metrics = step(held["state"], given, traced, key)
        jax.block_until_ready(metrics["loss"])

    answer(pipe, call)


def _ranking(spec: Spec) -> Callable[[], None]:
    import jax

    from attnjax.ops.items import rank_items

    first, second = jax.random.split(jax.random.key(0))
    table = jax.random.normal(first, (spec["items"], spec["dim"]))
    states = jax.random.normal(second, (spec["users"], spec["dim"]))
    rank = jax.jit(functools.partial(rank_items, k=10))

    def call() -> None:
        for start in range(0, spec["users"], spec["rows"]):
            jax.block_until_ready(rank(states[start : start + spec["rows"]], table))

    return call


class Case:
    """One side of a comparison, in a process that lives as long as it is measured."""

    def __init__(self, serves: Callable[[Any, int, Spec], None], spec: Spec) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        threads = len(os.sched_getaffinity(0))
        self._process = context.Process(target=serves, args=(there, threads, spec), daemon=True)
        self._process.start()
        self._here.recv()

    def seconds(self) -> float:
        """Of one call."""
        self._here.send(True)
        return float(self._here.recv())

    def close(self) -> int:
        """Ends the process, and returns the peak of its memory in bytes."""
        self._here.send(None)
        peak = int(self._here.recv())
        self._process.join()
        return peak


def compared(spec: Spec, rounds: int) -> dict[str, Any]:
    """Returns the rows of both sides."""
    sides = {"attnjax": Case(ours, spec), "torch": Case(serve, spec)}
    table = summary(alternate({name: side.seconds for name, side in sides.items()}, rounds), "torch")
    for name, side in sides.items():
        table[name]["peak_bytes"] = side.close()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a tenth of the items and users of large cases")
    options = parser.parse_args()
    large = 100_000 if options.small else 1_000_000
    users = 1_000 if options.small else 10_000
    specs: dict[str, Spec] = {
        "3,000 items, full": {**SHAPE, "items": 3000, "batch": 64, "loss": "full"},
        f"{large:,} items, full": {**SHAPE, "items": large, "batch": 8, "loss": "full"},
        f"{large:,} items, sampled": {**SHAPE, "items": large, "batch": 64, "loss": "sampled"},
        f"rank {users:,} users": {**SHAPE, "kind": "rank", "items": large, "users": users, "rows": 250},
    }
    about, cases = machine(("torch",)), {}
    for name, spec in specs.items():
        for side, row in compared(spec, options.rounds).items():
            cases[f"{name}: {side}"] = row
    report("sasrec", cases, about, "ratio: seconds over those of torch; below 1 is faster")


if __name__ == "__main__":
    main()
