"""How much can a state of fixed size recall, and which recurrence makes the most of it?

    attnjax run recall --model.mechanism gated_delta_net --model.head_dim 8
    attnjax sweep recall_state
    attnjax sweep recall --grid model.mechanism=based,kda data.pairs=4,8 --seeds 3

Multi-query associative recall (Zoology, Arora et al., 2023): a sequence tells up to 8 pairs of a key and a
value, then asks for each key's value. Softmax attention keeps every token. A window keeps the last 8 tokens,
which are gone when most questions come. A mechanism of the linear family keeps heads·head_dim² numbers a
layer (linear: a column more, Based: about head_dim/2 times as many), whatever the length.

All have the same two blocks, no positions, and a convolution of the embeddings over 4 tokens, so that a value
knows its key without a layer being spent on it: what is compared is the memory, not who has a convolution.
(Zoology gives its attention positions and no convolution, and its other mixers 4 layers.) Mamba-2 and the
delta rules have short convolutions of query, key and value besides, as in their papers.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.data.synthetic_config import RecallData
from attnjax.experiment.registry import experiment
from attnjax.experiment.sweep_registry import sweep
from attnjax.models.config import LanguageModelConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.sequences import SequenceTask


@experiment
@dataclass(frozen=True)
class Recall:
    """Recall the values of keys with a small language model of any mechanism."""

    model: LanguageModelConfig = LanguageModelConfig(
        dim=64, heads=2, head_dim=16, hidden=128, positions="none", window=8, convolution=4
    )
    data: RecallData = RecallData()
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
        from attnjax.data.recall import Recall as Sequences
        from attnjax.tasks.sequences import SequenceTask

        return SequenceTask(Sequences(self.data), self.model, batch_size=self.train.batch_size)


@sweep(Recall, measure="most pairs trained/answers %", mode="max")
def recall_state() -> Iterator[dict[str, Any]]:
    """Which recurrence recalls most with a state of a given size?

    8 mechanisms × 3 sizes × 4 seeds, 600 steps; softmax and a window are the references.
    """
    axes = {
        "model.mechanism": (
            "softmax",
            "window",
            "linear",
            "retention",
            "simple_gla",
            "mamba2",
            "delta_net",
            "gated_delta_net",
        ),
        "model.head_dim": (4, 8, 16),
        "seed": (0, 1, 2, 3),
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
