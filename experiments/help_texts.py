"""How well does a small Transformer translate real texts, and what did attention change there?

    attnjax data fetch help_texts                  # once: LibreOffice's help, 5 MB of Debian packages
    attnjax run help_texts
    attnjax run help_texts --architecture rnn
    attnjax run help_texts --architecture rnn --rnn.cross_mechanism None
    attnjax sweep help_texts_architectures
    attnjax evaluate RUN --metrics bleu chrf --beams 5
    attnjax predict RUN "Click the icon to open the dialog." --beams 5

    attnjax data fetch many_languages              # once: messages of TypeScript's compiler, with npm
    attnjax run many_languages
    attnjax run many_languages --data.buckets 1 --data.packing 160 --data.batch_tokens 5120
    attnjax predict RUN "<2fr> Type expected." "<2ja> Type expected." --beams 5

`help_texts` goes from English to German, in paragraphs of 4 to 30 words that people translated. Its final
table has a row of paragraphs from files that training never saw and one of whole modules, the formula editor
and charts, with words of their own.

`many_languages` is one model for thirteen languages, which a tag in front of the source chooses, with a row
for each. All languages have the same messages in their tests, so that no message is known from another one.

Each row has BLEU, chrF, and how many answers are right to the letter or a copy of the source; wrong.tsv in
the run folder has the worst answers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attnjax.config import user_cache
from attnjax.data.text.config import TranslationData
from attnjax.experiment.registry import experiment
from attnjax.models.config import TransformerConfig
from attnjax.models.recurrent_config import RecurrentConfig
from attnjax.sweeps.registry import sweep
from attnjax.tasks.translation.config import SearchConfig, TranslationLoss
from attnjax.train.config import TrainConfig

if TYPE_CHECKING:
    from attnjax.tasks.translation.task import TranslationTask

HELP = user_cache() / "corpora" / "help_texts"
MANY = user_cache() / "corpora" / "many_languages"
LANGUAGES = ("cs", "de", "es", "fr", "it", "ja", "ko", "pl", "pt-br", "ru", "tr", "zh-cn", "zh-tw")
MODEL = TransformerConfig(
    dim=128, heads=4, encoder_layers=2, decoder_layers=2, share_embeddings=True, tie_embeddings=True
)
TRAIN = TrainConfig(steps=2400, log_every=50, checkpoint_every=400, warmup_steps=300, learning_rate=2e-3)
LOSS = TranslationLoss(label_smoothing=0.1)


@experiment(name="help_texts")
@dataclass(frozen=True)
class HelpTexts:
    """Translate LibreOffice's help from English to German, with a Transformer or with recurrent networks."""

    architecture: Literal["transformer", "rnn"] = "transformer"
    """Which of the two models it is."""
    transformer: TransformerConfig = MODEL
    rnn: RecurrentConfig = RecurrentConfig(dim=128, cross_mechanism="general")
    data: TranslationData = TranslationData(
        train=HELP / "train.tsv",
        validation=HELP / "validation.tsv",
        tests=(HELP / "files.tsv", HELP / "modules.tsv"),
        tokenizer="bpe",
        vocab_size=6000,
        share_vocabulary=True,
        buckets=6,
        batch_tokens=4096,
    )
    train: TrainConfig = TRAIN
    loss: TranslationLoss = LOSS
    search: SearchConfig = SearchConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "TranslationTask":
        model = self.rnn if self.architecture == "rnn" else self.transformer
        return _task(self, model, folder)


@experiment(name="many_languages")
@dataclass(frozen=True)
class ManyLanguages:
    """Translate a compiler's messages from English to thirteen languages with one Transformer."""

    model: TransformerConfig = MODEL
    data: TranslationData = TranslationData(
        train=MANY / f"{LANGUAGES[0]}.tsv",
        more=tuple(MANY / f"{language}.tsv" for language in LANGUAGES[1:]),
        tags=tuple(f"<2{language}>" for language in LANGUAGES),
        validation=MANY / "validation.tsv",
        tests=tuple(MANY / f"test_{language}.tsv" for language in LANGUAGES),
        tokenizer="bpe",
        vocab_size=8000,
        share_vocabulary=True,
        buckets=6,
        batch_tokens=4096,
    )
    train: TrainConfig = TRAIN
    loss: TranslationLoss = LOSS
    search: SearchConfig = SearchConfig()
    seed: int = 0
    """Decides the initial parameters and the dropout; the data has a seed of its own."""

    def task(self, folder: Path | None = None) -> "TranslationTask":
        return _task(self, self.model, folder)


def _task(config: Any, model: TransformerConfig | RecurrentConfig, folder: Path | None) -> "TranslationTask":
    from attnjax.tasks.translation.task import TranslationTask

    more: dict[str, Any] = {"folder": folder, "search": config.search, "chunk": config.train.log_every}
    return TranslationTask(config.data, model, loss=config.loss, batch_size=config.train.batch_size, **more)


@sweep(HelpTexts, metric="files/BLEU", mode="max")
def help_texts_architectures() -> Iterator[dict[str, Any]]:
    """What does attention change on real texts?

    The Transformer, and LSTMs with and without attention, for as many steps.
    """
    yield {}
    for mechanism in ("general", None):
        yield {"architecture": "rnn", "rnn.cross_mechanism": mechanism}


if __name__ == "__main__":
    from attnjax.cli import run_file

    run_file(__file__)
