"""What can a state of fixed size recall, and who copies strings that are longer than any of training?

    attnjax run recall --model.mechanism gated_delta_net --model.head_dim 8
    attnjax run copying --model.mechanism gated_delta_net
    attnjax sweep recall_state
    attnjax sweep copying_length
    attnjax sweep recall --grid model.mechanism=based,kda data.pairs=4,8 --seeds 3
    attnjax sweep recall --grid "model.mechanism=kda*1+softmax,longformer(size=8, tokens=2)"

Multi-query associative recall (Zoology, Arora et al., 2023): a sequence tells up to 8 pairs of a key and a
value, then asks for each key's value. Copying (Jelassi et al., 2024): a random string of up to 16 letters, a
mark, and the string again; the final table has strings of up to 32 letters.

Softmax attention keeps every token. A window keeps the last 8, which no longer hold the pair when most
questions come. A mechanism of the linear family keeps heads·head_dim² numbers a layer (linear: a column more,
Based: about head_dim/2 times as many), however long the sequence is.

All have the same two blocks, no positions, and a convolution of the embeddings over 4 tokens, so that a value
knows its key without a layer being spent on it: what is compared is the memory, not who has a convolution.
(Zoology gives its attention positions and no convolution, and its other mixers 4 layers.) Mamba-2 and the
delta rules have short convolutions of query, key and value besides, as in their papers.

Expect softmax to answer all and a window to guess; with heads of 16 most recurrences recall 8 pairs nearly
always, with heads of 4 hardly any does. Softmax copies strings of 32 letters with 99 % of them right, the
delta rules get 50 to 65 %, states that only decay a third. On two CPU cores a run takes 16 s, recall_state
15 minutes, copying_length 9.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.data.synthetic.config import CopyingData, RecallData
from attnjax.experiment.registry import experiment
from attnjax.models.config import LanguageModelConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.config import CrossEntropyConfig
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.sequences import SequenceTask

MODEL = LanguageModelConfig(dim=64, heads=2, head_dim=16, hidden=128, positions="none", convolution=4)
TRAIN = TrainConfig(
    steps=600,
    batch_size=64,
    checkpoint_every=200,
    warmup_steps=50,
    learning_rate=1e-2,
    dropout=0.0,
)
SEEDS = range(4)
MECHANISMS = (
    *("softmax", "window(size=8)"),  # The references.
    *("linear", "retention", "simple_gla", "mamba2", "delta_net", "gated_delta_net"),
)


@experiment
@dataclass(frozen=True)
class Recall:
    """Recall the values of keys with a small language model of any mechanism."""

    model: LanguageModelConfig = MODEL
    data: RecallData = RecallData()
    train: TrainConfig = TRAIN
    loss: CrossEntropyConfig = CrossEntropyConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "SequenceTask":
        from attnjax.data.synthetic import recall
        from attnjax.tasks.sequences import SequenceTask

        return SequenceTask(
            recall.Recall(self.data), self.model, loss=self.loss, batch_size=self.train.batch_size
        )


@experiment(name="copying")
@dataclass(frozen=True)
class Copying:
    """Copy strings, longer ones than in training too, with a small language model of any mechanism."""

    model: LanguageModelConfig = MODEL
    data: CopyingData = CopyingData()
    train: TrainConfig = TRAIN
    loss: CrossEntropyConfig = CrossEntropyConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "SequenceTask":
        from attnjax.data.synthetic import copying
        from attnjax.tasks.sequences import SequenceTask

        return SequenceTask(
            copying.Copying(self.data), self.model, loss=self.loss, batch_size=self.train.batch_size
        )


@sweep(Recall, metric="most pairs trained/answers %", mode="max")
def recall_state() -> Iterator[dict[str, Any]]:
    """Which recurrence recalls most with a state of a given size?

    8 mechanisms × 3 sizes × 4 seeds, 600 steps; softmax and a window are the references.
    """
    for mechanism in MECHANISMS:
        for head_dim in (4, 8, 16):
            for seed in SEEDS:
                yield {"model.mechanism": mechanism, "model.head_dim": head_dim, "seed": seed}


@sweep(Copying, metric="twice as long/answers %", mode="max")
def copying_length() -> Iterator[dict[str, Any]]:
    """Which mechanism copies strings twice as long as those of training?

    10 mechanisms with 4 seeds, 600 steps; softmax and a window are the references.
    """
    for mechanism in (*MECHANISMS, "gla", "kda"):
        for seed in SEEDS:
            yield {"model.mechanism": mechanism, "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
