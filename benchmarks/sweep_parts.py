"""Where the time of a sweep goes: 32 trials of `benchmarks/sweep_folder/lookup.py`, in one process.

python benchmarks/sweep_parts.py [--rounds 3]

steps           computing them and writing metrics: what the trials themselves cost
validations     the task's, during training
checkpoints     what the loop stands still for to save (the writing goes on beside it)
results         evaluating and writing the trials' results, keeping the best one's weights
the rest        compiling, reading, the table; all that is left of `attnjax sweep` after jax's import
"""

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import jax
from _measure import machine, report, seconds, summary

from attnjax import cli
from attnjax.sweeps.worker import Worker
from attnjax.train.packs.lanes import PackLanes

TRIALS = 32
GRID = ["train.learning_rate=0.001,0.002,0.004,0.008", "train.dropout=0,0.1", "seed=0,1,2,3"]
PARTS: defaultdict[str, float] = defaultdict(float)


def timed(owner: Any, name: str, part: str) -> None:
    """Counts the time inside a function towards a part."""
    call = getattr(owner, name)

    def count(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = call(*arguments, **options)
        PARTS[part] += time.perf_counter() - start
        return result

    setattr(owner, name, count)


def sweep() -> dict[str, float]:
    """The seconds of each part."""
    PARTS.clear()
    with tempfile.TemporaryDirectory() as runs:
        place = ["--experiments", str(Path(__file__).parent / "sweep_folder"), "--runs", runs]
        how = ["--batching", "map", "--width", "8"]
        whole = seconds(lambda: cli.main(["sweep", "lookup", "--grid", *GRID, *how, *place]))
    return {**PARTS, "the rest": whole - sum(PARTS.values()), "whole": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    timed(PackLanes, "dispatch", "steps")
    timed(PackLanes, "_write_rows", "steps")
    timed(PackLanes, "_validate", "validations")
    timed(PackLanes, "_save", "checkpoints")
    timed(Worker, "_end", "results")
    about = machine()
    times: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for part, took in sweep().items():
            times.setdefault(part, []).append(took)
    rows = summary(times, baseline="whole")
    report(
        "sweep-parts", rows, about, f"{TRIALS} trials on {jax.device_count()} devices; ratio: of the whole"
    )


if __name__ == "__main__":
    main()
