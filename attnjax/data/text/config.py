"""Settings of the texts of a translation task. Free of jax and numpy: the command line starts at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from attnjax.config import require, require_seed
from attnjax.data.text.filter_config import ALL_PAIRS, FilterConfig
from attnjax.data.text.noise_config import NO_NOISE, NoiseConfig

# fmt: off
DATE_LOCALES = (
    "en", "en_GB", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "cs", "hu", "ro",
    "ru", "uk", "bg", "el", "tr", "id", "vi", "ja", "zh", "ko", "hi", "he", "ar", "fa",
)
# fmt: on
DATES_WORD_DROPOUT = 0.1
Kind = Literal["characters", "bpe", "unigram", "byte_level"]
"""The kinds of tokenizers."""
BYTES = 260
"""Tokens that a tokenizer of bytes has at least: the bytes and four marks."""


@dataclass(frozen=True)
class TranslationData:
    """The texts of a translation task: the embedded dates, or a corpus of your own.

    Without `train`, dates written in CLDR's formats of `locales` are generated, with ISO dates as targets.
    `train` is a TSV file (source<TAB>target, one pair a line), a translation memory (.tmx), a catalog of
    messages (.po, .mo) or, with `train_target`, the source side of two line-aligned files, each of them plain
    or packed (.gz); `validation` and `test` likewise. Where a corpus comes without them, the share
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
    tests: tuple[Path, ...] = ()
    """Further files of test pairs, each a row of the final table by the file's name; with any, and without
    `test`, none are held out of `train` for tests."""
    source_language: str | None = None
    """The language of the sources, as a translation memory names it: "de" finds "de-AT" too."""
    target_language: str | None = None
    """The language of the targets, likewise."""
    more: tuple[Path, ...] = ()
    """Further training corpora, each as `train`."""
    more_target: tuple[Path, ...] = ()
    """The target side of each of `more`, where these hold only sources."""
    tags: tuple[str, ...] = ()
    """A tag for each corpus, such as "<2de>": one token in front of its sources, also of those held out."""
    prefixes: tuple[str, ...] = ()
    """A text for each corpus in front of its sources, behind the tag."""
    filters: FilterConfig = ALL_PAIRS
    """Conditions that training pairs have to meet."""
    noise: NoiseConfig = NO_NOISE
    """Noise on the tokens in training."""
    weights: tuple[float, ...] = ()
    """The chances of the corpora that a training pair is of, up to a factor; none: their sizes."""
    buckets: int = 1
    """Shapes of batches, at most: texts of like lengths share one."""
    batch_tokens: int | None = None
    """Tokens of a batch, of both sides and with their padding; None: train.batch_size pairs."""
    packing: int | None = None
    """Tokens of a row, on each side, in which several pairs stand one after the other and do not see each
    other; a batch then has train.batch_size such rows. None: a row has one pair."""
    on_disk: bool = False
    """True for corpora that are larger than memory: their tokens are kept in files."""
    alignment: Path | None = None
    """A line of word pairs (0-0 1-2, source-target) for each line of `train`, for `loss.lambda_align`; the
    embedded dates know their alignment."""
    holdout: float = 0.05
    """Share of your training lines held out for each part that you do not give."""
    tokenizer: Kind = "characters"
    """The unit of a token: one character, or a piece that is learned: by byte-pair encoding of characters or
    of bytes, or by a unigram model."""
    vocab_size: int = 8000
    """Pieces to learn on each side."""
    bpe_dropout: float = 0.0
    """Share of merges that training leaves out, others at every step (bpe, byte_level)."""
    unigram_alpha: float | None = None
    """The exponent α of the probabilities by which training draws pieces (unigram); None: the best ones."""
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
        self._check_tokenizer()
        for name, least in _LEAST.items():
            value = getattr(self, name)
            require(value is None or value >= least, f"data.{name} is {value}: it must be at least {least}")
        require_seed("data.seed", self.seed)
        require(len(self.locales) > 0, "data.locales is empty: at least one CLDR locale is needed")
        require(len(set(self.locales)) == len(self.locales), "data.locales names a locale twice")
        for side in ("train", "validation", "test"):
            self._check_side(side)
        names = [_part(path) for path in self.tests]
        require(
            len({*names, "train", "validation", "test"}) == len(names) + 3,
            f"data.tests has {', '.join(names)}: expected different names, and not those of other parts",
        )
        require(self.train is not None or not names, "data.tests needs data.train: the dates bring their own")
        self._check_corpora()

        require(
            self.alignment is None or self.train is not None,
            "data.alignment needs data.train: the embedded dates know their alignment",
        )

    @property
    def given(self) -> dict[str, tuple[Path, Path | None]]:
        """The files of the parts that are not trained on, where they are given, with their target sides."""
        found = {}
        for part in ("validation", "test"):
            source: Path | None = getattr(self, part)
            if source is not None:
                found[part] = source, getattr(self, f"{part}_target")
        return found | {_part(path): (path, None) for path in self.tests}

    @property
    def missing(self) -> list[str]:
        """The parts that are held out of the training pairs."""
        enough = {*self.given, *(["test"] if self.tests else [])}
        return [part for part in ("validation", "test") if part not in enough]

    @property
    def source_noise(self) -> float:
        """The `word_dropout` that training uses."""
        if self.word_dropout is None:
            return DATES_WORD_DROPOUT if self.train is None else 0.0
        return self.word_dropout

    @property
    def by_length(self) -> bool:
        """True if batches are drawn by lengths, or by corpora."""
        given = (self.batch_tokens, self.packing)
        return self.on_disk or self.buckets > 1 or len(self.weights) > 0 or given != (None, None)

    @property
    def regularised(self) -> bool:
        """True if training cuts texts into other pieces at every step."""
        return self.bpe_dropout > 0 or self.unigram_alpha is not None

    def _check_tokenizer(self) -> None:
        kinds = get_args(Kind)
        kind = self.tokenizer
        require(kind in kinds, f"data.tokenizer is {kind!r}: expected one of {', '.join(kinds)}")
        least = BYTES + len(self.tags)
        require(
            kind != "byte_level" or self.vocab_size >= least,
            f"data.vocab_size is {self.vocab_size}: byte_level needs {least} for bytes, marks and tags",
        )
        rate, alpha = self.bpe_dropout, self.unigram_alpha
        require(0 <= rate < 1, f"data.bpe_dropout is {rate}: it must lie in [0, 1)")
        require(
            rate == 0 or kind in ("bpe", "byte_level"),
            f"data.bpe_dropout is {rate}: data.tokenizer is {kind!r}, expected 'bpe' or 'byte_level'",
        )
        require(alpha is None or alpha >= 0, f"data.unigram_alpha is {alpha}: expected 0 or more")
        require(
            alpha is None or kind == "unigram",
            f"data.unigram_alpha is {alpha}: data.tokenizer is {kind!r}, expected 'unigram'",
        )

    @property
    def corpora(self) -> tuple[tuple[Path, Path | None], ...]:
        """The training corpora, each with its target side; none for the embedded dates."""
        if self.train is None:
            return ()
        targets = self.more_target or (None,) * len(self.more)
        return (self.train, self.train_target), *zip(self.more, targets, strict=True)

    def _check_corpora(self) -> None:
        require(self.train is not None or not self.more, "data.more needs data.train, the first corpus")
        require(
            not self.more_target or len(self.more_target) == len(self.more),
            f"data.more_target has {len(self.more_target)} files: expected {len(self.more)}, as of data.more",
        )
        count = len(self.corpora)
        for name in ("tags", "prefixes", "weights"):
            values = getattr(self, name)
            require(
                len(values) in (0, count),
                f"data.{name} has {len(values)} values: expected one for each corpus, {count}",
            )
        require(
            all(weight > 0 for weight in self.weights),
            f"data.weights is {self.weights}: expected numbers above 0",
        )
        require(not self.on_disk or count > 0, "data.on_disk needs data.train: the dates are generated")
        for tag in self.tags:
            require(tag.split() == [tag], f"data.tags has {tag!r}: expected one word")

        others = {
            "buckets": self.buckets > 1,
            "weights": len(self.weights) > 0,
            "bpe_dropout": self.bpe_dropout > 0,
            "unigram_alpha": self.unigram_alpha is not None,
            "noise": self.noise != NO_NOISE,
        }
        for name, given in others.items():
            require(
                self.packing is None or not given,
                f"data.packing is {self.packing}: it comes with no data.{name}, which is of rows of one pair",
            )

    def _check_side(self, side: str) -> None:
        source, target = getattr(self, side), getattr(self, f"{side}_target")
        require(
            target is None or source is not None, f"data.{side}_target needs data.{side} as its source side"
        )
        require(
            source is None or self.train is not None,
            f"data.{side} needs data.train: the embedded dates bring their own held-out parts",
        )


def _part(path: Path) -> str:
    """Returns the name of the part that a file is.

    >>> _part(Path("news.2014.tsv.gz"))
    'news.2014'
    """
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name


_LEAST = {
    "vocab_size": 16,
    "max_source_length": 1,
    "max_target_length": 3,
    "examples": 1,
    "evaluation_examples": 1,
    "buckets": 1,
    "batch_tokens": 1,
    "packing": 4,
}
