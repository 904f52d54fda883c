"""Who copies a string, and who copies one that is longer than any of training?

    attnjax run copying --model.mechanism gated_delta_net
    attnjax sweep copying_length

A random string of letters, a mark, and the string again (Jelassi et al., 2024). Training has all lengths up
to 16; the final table has longer ones too. Softmax attention can look up what followed the last few letters,
however long the string is; what keeps a state of one size has to have room for all of it.

The models are those of `experiments/recall.py`: two blocks, no positions, and under every mechanism a
convolution of the embeddings over 4 tokens.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.data.synthetic_config import CopyingData
from attnjax.experiment.registry import experiment
from attnjax.experiment.sweep_registry import sweep
from attnjax.models.config import LanguageModelConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.sequences import SequenceTask


@experiment
@dataclass(frozen=True)
class Copying:
    """Copy strings with a small language model of any mechanism."""

    model: LanguageModelConfig = LanguageModelConfig(
        dim=64, heads=2, head_dim=16, hidden=128, positions="none", window=8, convolution=4
    )
    data: CopyingData = CopyingData()
    train: TrainConfig = TrainConfig(
        steps=600,
        batch_size=64,
        log_every=50,
        checkpoint_every=200,
        warmup_steps=50,
        learning_rate=1e-2,
        dropout=0.0,
    )
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "SequenceTask":
        from attnjax.data.copying import Copying as Sequences
        from attnjax.tasks.sequences import SequenceTask

        return SequenceTask(Sequences(self.data), self.model, batch_size=self.train.batch_size)


@sweep(Copying, measure="twice as long/answers %", mode="max")
def copying_length() -> Iterator[dict[str, Any]]:
    """Which mechanism copies strings twice as long as those of training?

    10 mechanisms with 4 seeds, 600 steps; softmax and a window are the references.
    """
    axes = {
        "model.mechanism": (
            "softmax",
            "window",
            "linear",
            "retention",
            "simple_gla",
            "mamba2",
            "gla",
            "delta_net",
            "gated_delta_net",
            "kda",
        ),
        "seed": (0, 1, 2, 3),
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
