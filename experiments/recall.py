"""Recall."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attnjax.data.synthetic_config import RecallData
from attnjax.experiment.registry import experiment
from attnjax.models.config import LanguageModelConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.sequences import SequenceTask


@experiment
@dataclass(frozen=True)
class Recall:
    """Recall."""

    model: LanguageModelConfig = LanguageModelConfig(
        dim=64, heads=2, hidden=128, positions="none", convolution=4
    )
    data: RecallData = RecallData()
    train: TrainConfig = TrainConfig(
        steps=1000,
        batch_size=32,
        log_every=50,
        checkpoint_every=250,
        warmup_steps=50,
        learning_rate=3e-3,
        dropout=0.0,
    )
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "SequenceTask":
        from attnjax.data.recall import Recall as Source
        from attnjax.tasks.sequences import SequenceTask

        return SequenceTask(Source(self.data), self.model, batch_size=self.train.batch_size)


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
