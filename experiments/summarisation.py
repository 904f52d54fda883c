"""Does a model that may copy words write better summaries, and which words does it copy?

    pip install '.[summaries]'                        # once: ROUGE
    attnjax run summarisation
    attnjax run summarisation --model.copy False
    attnjax run pointer_generator
    attnjax run summarisation --data.train mine.jsonl # objects with text and summary
    attnjax predict RUN --file texts.txt --details
    attnjax sweep summary_sizes

The texts are docstrings of the running Python's standard library without their first line, which is the
summary. Whole modules are held out, of a package all files. `summarisation` is a Transformer whose last
cross-attention points at words to copy, `pointer_generator` the network of See et al. (2017), with coverage.

The final table has ROUGE-1, -2 and -L of the model, of the first sentence (LEAD-1), of the sentence that is
nearest, of the summary's words that the text has, and of the commonest summary of training, which needs no
text. "copied %" is the share of words that are likelier copied than not; masking the token that a word looks
at says what the attention counts for.

Expect LEAD-1 to win: there are two thousand texts, which have less than half of the words of their summaries.
`docs/guides/summarisation.md` has measured numbers.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.data.text.summaries_config import SummaryData
from attnjax.experiment.registry import experiment
from attnjax.models.config import TransformerConfig
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.translation.config import SearchConfig, TranslationLoss
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.summaries.task import SummaryTask

TRAIN = TrainConfig(
    steps=400,
    batch_size=32,
    log_every=50,
    checkpoint_every=200,
    warmup_steps=40,
    learning_rate=2e-3,
    weight_decay=0.1,
    dropout=0.2,
)


@experiment
@dataclass(frozen=True)
class Summarisation:
    """Write the first line of a docstring, or a summary of your own texts, with a Transformer that copies."""

    model: TransformerConfig = TransformerConfig(
        dim=64,
        heads=4,
        hidden=128,
        encoder_layers=1,
        decoder_layers=1,
        copy=True,
        share_embeddings=True,
        tie_embeddings=True,
    )
    data: SummaryData = SummaryData()
    train: TrainConfig = TRAIN
    loss: TranslationLoss = TranslationLoss(label_smoothing=0.1)
    search: SearchConfig = SearchConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "SummaryTask":
        return _task(self, folder)


@experiment(name="pointer_generator")
@dataclass(frozen=True)
class PointerGenerator:
    """Write the same summaries with recurrent networks, additive attention, copies and coverage."""

    model: RecurrentConfig = RecurrentConfig(
        dim=64, cross_mechanism="additive", copy=True, coverage=True, input_feeding=False
    )
    data: SummaryData = SummaryData()
    train: TrainConfig = TRAIN
    loss: TranslationLoss = TranslationLoss(label_smoothing=0.1, lambda_coverage=1.0)
    search: SearchConfig = SearchConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "SummaryTask":
        return _task(self, folder)


def _task(config: Summarisation | PointerGenerator, folder: Path | None) -> "SummaryTask":
    from attnjax.tasks.summaries.task import SummaryTask

    return SummaryTask(
        config.data,
        config.model,
        loss=config.loss,
        batch_size=config.train.batch_size,
        folder=folder,
        search=config.search,
        chunk=config.train.log_every,
    )


@sweep(
    Summarisation,
    metric="test/ROUGE-L",
    mode="max",
    base={"train.steps": 300, "train.warmup_steps": 30, "train.checkpoint_every": 300},
)
def summary_sizes() -> Iterator[dict[str, Any]]:
    """Heads, width or dropout: what decides how near summaries come that two thousand texts teach?

    2 × 2 × 2 settings with 3 seeds, 300 steps.
    """
    axes: dict[str, Any] = {
        "model.heads": (2, 8),
        "model.dim": (32, 64),
        "train.dropout": (0.1, 0.4),
        "seed": range(3),
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
