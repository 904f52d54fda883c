"""Settings of the texts of a translation task. Free of jax and numpy: the command line starts at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from attnjax.config import require, require_seed

# fmt: off
DATE_LOCALES = (
    "en", "en_GB", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "cs", "hu", "ro",
    "ru", "uk", "bg", "el", "tr", "id", "vi", "ja", "zh", "ko", "hi", "he", "ar", "fa",
)
# fmt: on
DATES_WORD_DROPOUT = 0.1


@dataclass(frozen=True)
class TranslationData:
    """The texts of a translation task: the embedded dates, or a corpus of your own.

    Without `train`, dates written in CLDR's formats of `locales` are generated, with ISO dates as targets.
    `train` is a TSV file (source<TAB>target, one pair a line) or, with `train_target`, the source side of two
    line-aligned files; `validation` and `test` likewise. Where a corpus comes without them, the share
    `holdout` of the training lines is held out for each.
    """

    train: Path | None = None
    """Your training pairs: a TSV file, or the source side; None: the embedded dates."""
    train_target: Path | None = None
    """The target side, line by line, where `train` holds only sources."""
    validation: Path | None = None
    """Pairs that choose the best checkpoint; None: held out of `train`."""
    validation_target: Path | None = None
    """The target side of `validation`."""
    test: Path | None = None
    """Pairs of the final table; None: held out of `train`."""
    test_target: Path | None = None
    """The target side of `test`."""
    alignment: Path | None = None
    """A line of word pairs (0-0 1-2, source-target) for each line of `train`, for `loss.lambda_align`; the
    embedded dates know their alignment."""
    holdout: float = 0.05
    """Share of your training lines held out for each part that you do not give."""
    tokenizer: Literal["characters", "bpe"] = "characters"
    """The unit of a token: one character, or a piece learned by byte-pair encoding."""
    vocab_size: int = 8000
    """Pieces to learn on each side (bpe only)."""
    share_vocabulary: bool = False
    """True if source and target have one vocabulary, as models that copy or share embeddings need it."""
    max_source_length: int = 256
    """The longest source text that is accepted, in tokens."""
    max_target_length: int = 256
    """The longest target text that is accepted, in tokens, with its two end marks."""
    skip_malformed: bool = False
    """Leave out lines of yours that are malformed or too long; else they are named and nothing starts."""
    word_dropout: float | None = None
    """Share of source tokens that training replaces by the unknown token, others at every step; None: 0.1 of
    the embedded dates, which are too regular, and none of your own texts."""
    examples: int = 200_000
    """Size of the generated training set (embedded dates only)."""
    evaluation_examples: int = 4000
    """Size of each generated held-out set (embedded dates only)."""
    locales: tuple[str, ...] = DATE_LOCALES
    """CLDR locales of the embedded dates."""
    seed: int = 0
    """Decides the split, the generated examples and the order of the batches."""

    def __post_init__(self) -> None:
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        require(
            0 <= self.source_noise < 1, f"data.word_dropout is {self.word_dropout}: it must lie in [0, 1)"
        )
        require(
            self.tokenizer in ("characters", "bpe"),
            f"data.tokenizer is {self.tokenizer!r}: it must be 'characters' or 'bpe'",
        )
        for name, least in _LEAST.items():
            value = getattr(self, name)
            require(value >= least, f"data.{name} is {value}: it must be at least {least}")
        require_seed("data.seed", self.seed)
        require(len(self.locales) > 0, "data.locales is empty: at least one CLDR locale is needed")
        require(len(set(self.locales)) == len(self.locales), "data.locales names a locale twice")
        for side in ("train", "validation", "test"):
            self._check_side(side)

        require(
            self.alignment is None or self.train is not None,
            "data.alignment needs data.train: the embedded dates know their alignment",
        )

    @property
    def source_noise(self) -> float:
        """The `word_dropout` that training uses."""
        if self.word_dropout is None:
            return DATES_WORD_DROPOUT if self.train is None else 0.0
        return self.word_dropout

    def _check_side(self, side: str) -> None:
        source, target = getattr(self, side), getattr(self, f"{side}_target")
        require(
            target is None or source is not None, f"data.{side}_target needs data.{side} as its source side"
        )
        require(
            source is None or self.train is not None,
            f"data.{side} needs data.train: the embedded dates bring their own held-out parts",
        )


_LEAST = {
    "vocab_size": 16,
    "max_source_length": 1,
    "max_target_length": 3,
    "examples": 1,
    "evaluation_examples": 1,
}
