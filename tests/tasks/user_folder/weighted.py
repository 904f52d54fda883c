"""Which line fits, if steep ones are dear? Its loss has a traced field, its parameters may come from a file.

attnjax run weighted --experiments tests/tasks/user_folder --loss.steepness 0.1
"""

from dataclasses import dataclass, field
from pathlib import Path

from attnjax.config import traced
from attnjax.experiment.registry import experiment
from attnjax.train.config import TrainConfig


@dataclass(frozen=True)
class SteepnessLoss:
    """A squared error, and what steepness costs."""

    steepness: float = traced(0.0)
    """What the square of the slope is multiplied with."""
    ignored: bool = False
    """Whether the loss forgets to look at the steepness."""


@experiment
@dataclass(frozen=True)
class Weighted:
    """Fit a line, which may begin as one of a file."""

    loss: SteepnessLoss = SteepnessLoss()
    start: Path | None = None
    """Arrays by name (.npz); those that are missing begin as ever."""
    train: TrainConfig = field(
        default=TrainConfig(steps=8, batch_size=4, log_every=4, checkpoint_every=4, warmup_steps=2)
    )
    seed: int = 0

    def task(self, folder=None):
        from _weighted_task import WeightedTask

        return WeightedTask(self.loss, self.start, self.train.batch_size)
