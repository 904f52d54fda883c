"""How did machines translate before the Transformer, and what did attention change?

    attnjax run translation_rnn
    attnjax run translation_rnn --model.cross_mechanism additive --model.order bahdanau --model.cell gru
    attnjax run translation_rnn --model.cross_mechanism "general & sparsemax" --model.coverage
    attnjax run translation_rnn --model.copy --data.share_vocabulary
    attnjax run translation_rnn --loss.lambda_align 0.05
    attnjax run translation_rnn --model.cross_mechanism None
    attnjax sweep attention_or_not

The first experiment is `translation` with an encoder-decoder of LSTMs or GRUs: the same dates of 30 languages
or corpus of your own, the same search, table and picture. The attention is any comparison of `attnjax list
mechanisms` with any normaliser, local_p or monotonic; None is the baseline without.

The second, `turning`, is where attention shows what it is for: strings of 2 to 12 random letters are to be
written backwards, and the final table has a row for each length up to 16. A network without attention has to
keep the whole string in the state that the decoder begins with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attnjax.data.text.config import TranslationData
from attnjax.data.text.strings_config import StringsData
from attnjax.experiment.registry import experiment
from attnjax.models.config import TransformerConfig
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.translation.config import SearchConfig, TranslationLoss
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.translation.strings import StringsTask
    from attnjax.tasks.translation.task import TranslationTask


@experiment
@dataclass(frozen=True)
class TranslationRnn:
    """Translate dates in 30 languages, or your own parallel corpus, with recurrent networks and attention."""

    model: RecurrentConfig = RecurrentConfig()
    data: TranslationData = TranslationData()
    train: TrainConfig = TrainConfig(log_every=20, checkpoint_every=300, learning_rate=3e-3)
    loss: TranslationLoss = TranslationLoss(label_smoothing=0.1)
    search: SearchConfig = SearchConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "TranslationTask":
        from attnjax.tasks.translation.task import TranslationTask

        more: dict[str, Any] = {"folder": folder, "search": self.search}
        return TranslationTask(
            self.data, self.model, loss=self.loss, batch_size=self.train.batch_size, **more
        )


@experiment(name="turning")
@dataclass(frozen=True)
class Turning:
    """Write strings backwards, longer ones than in training too, with attention or without."""

    architecture: Literal["rnn", "transformer"] = "rnn"
    """Which of the two models it is."""
    rnn: RecurrentConfig = RecurrentConfig(dim=64, cross_mechanism="general")
    transformer: TransformerConfig = TransformerConfig(dim=48, heads=2, encoder_layers=1, decoder_layers=2)
    data: StringsData = StringsData()
    train: TrainConfig = TrainConfig(
        steps=400,
        batch_size=64,
        log_every=50,
        checkpoint_every=200,
        warmup_steps=50,
        learning_rate=5e-3,
        dropout=0.0,
    )
    loss: TranslationLoss = TranslationLoss()
    seed: int = 0
    """Decides the initial parameters; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "StringsTask":
        from attnjax.tasks.translation.strings import StringsTask

        model = self.rnn if self.architecture == "rnn" else self.transformer
        return StringsTask(self.data, model, loss=self.loss, batch_size=self.train.batch_size)


@sweep(Turning, metric="length 12/exact match %", mode="max")
def attention_or_not() -> Iterator[dict[str, Any]]:
    """How long a string does a model turn round, with attention and without?

    LSTMs with none, dot, general and additive (OpenNMT's mlp), and a Transformer, with 3 seeds each.
    """
    for mechanism in (None, "dot", "general", "additive"):
        for seed in range(3):
            yield {"architecture": "rnn", "rnn.cross_mechanism": mechanism, "seed": seed}
    for seed in range(3):
        yield {"architecture": "transformer", "seed": seed}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
