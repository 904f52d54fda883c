"""Does a line fit points on a line? The smallest experiment, for tests: seconds, one slope and one offset.

attnjax run toy --experiments tests/sweeps/user_folder
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from attnjax.config import InputError, require
from attnjax.experiment.registry import experiment
from attnjax.sweeps.registry import sweep
from attnjax.train.config import TrainConfig


@dataclass(frozen=True)
class LineConfig:
    """What to fit."""

    slope: float = 2.0
    kind: Literal["line", "parabola"] = "line"
    points: Path | None = None
    """A file with one number a line, to fit instead of generated points."""

    def __post_init__(self) -> None:
        require(self.slope >= 0, f"line.slope is {self.slope}: it must be ≥ 0")


@experiment
@dataclass(frozen=True)
class Toy:
    """Fit a line to points.

    A second paragraph that `attnjax list` leaves out.
    """

    line: LineConfig = LineConfig()
    train: TrainConfig = field(
        default=TrainConfig(steps=20, batch_size=12, log_every=5, checkpoint_every=10, warmup_steps=2)
    )
    seed: int = 0

    def task(self, folder=None):
        from _line_task import LineTask

        return LineTask(_points(self.line), self.train.batch_size)


@sweep(Toy, metric="all points/error", mode="min", base={"train.steps": 10})
def slopes():
    """How steep a line can be learned?"""
    for slope in (1.0, 2.0):
        for rate in (0.1, 0.2, 0.4):
            yield {"line.slope": slope, "train.learning_rate": rate}


def _points(line):
    if line.points is None:
        return [line.slope * x for x in range(8)]
    time.sleep(float(os.environ.get("TOY_SECONDS_TO_READ", 0)))
    numbers = []
    for number, text in enumerate(line.points.read_text().splitlines(), start=1):
        try:
            numbers.append(float(text))
        except ValueError:
            raise InputError(f"{line.points}:{number}: expected a number, got {text!r}") from None
    require(len(numbers) > 0, f"{line.points} is empty")
    return numbers


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
