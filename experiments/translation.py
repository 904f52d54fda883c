"""Can a small Transformer learn to read dates in 30 languages, and what does it look at while it writes?

    attnjax run translation
    attnjax run translation --model.heads 8 --train.dropout 0.2
    attnjax run translation --data.train pairs.tsv
    attnjax sweep heads_dims_dropout
    attnjax run translation --data.train corpus.de --data.train_target corpus.en --data.tokenizer bpe

The embedded task turns dates written in CLDR's formats of 30 locales ("3. März 2021", "۲۰۲۱/۳/۳", with the
locale as a tag where the format alone is ambiguous) into ISO dates ("2021-03-03"). A corpus of your own
replaces it: a TSV file, or two files aligned by line. The dates alone get word dropout unless you ask for it.

Expect about 99.4 % exact match on held-out dates and 96 % on locale×format pairs that training never saw,
after 2 to 3 minutes on two CPU cores, and a picture (alignment.png in the run folder) in which month names
map to month digits.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.data.text.config import TranslationData
from attnjax.experiment.registry import experiment
from attnjax.models.config import TransformerConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.translation.config import SearchConfig, TranslationLoss
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.translation.task import TranslationTask


@experiment
@dataclass(frozen=True)
class Translation:
    """Translate dates in 30 languages, or your own parallel corpus, with an encoder-decoder Transformer."""

    model: TransformerConfig = TransformerConfig(dim=80)
    data: TranslationData = TranslationData()
    train: TrainConfig = TrainConfig(
        log_every=20,
        checkpoint_every=300,
        learning_rate=2e-3,
        weight_decay=0.05,
    )
    loss: TranslationLoss = TranslationLoss(label_smoothing=0.1)
    search: SearchConfig = SearchConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "TranslationTask":
        from attnjax.tasks.translation.task import TranslationTask

        return TranslationTask(
            self.data,
            self.model,
            loss=self.loss,
            batch_size=self.train.batch_size,
            folder=folder,
            search=self.search,
        )


@sweep(
    Translation,
    metric="unseen locale×format pairs/exact match %",
    mode="max",
    base={
        "train.steps": 200,
        "train.checkpoint_every": 200,
        "train.warmup_steps": 50,
        "data.evaluation_examples": 1000,
    },
)
def heads_dims_dropout() -> Iterator[dict[str, Any]]:
    """Heads, width or dropout: what decides whether locale×format pairs never seen are read right?

    2 × 2 × 3 settings with 2 seeds each, 200 steps: a fifth of the training of `attnjax run translation`.
    """
    axes = {
        "model.heads": (2, 8),
        "model.dim": (48, 80),
        "train.dropout": (0.0, 0.1, 0.3),
        "seed": (0, 1),
    }
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
