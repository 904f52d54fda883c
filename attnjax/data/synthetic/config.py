"""Settings of sequences whose reader is asked questions. Free of jax and numpy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from attnjax.config import require, require_seed
from attnjax.data.text.config import DATE_LOCALES
from attnjax.experiment.registry import nearest

Group = Literal["Z2", "S3", "S5"]
SHORT_LOCALES = ("en", "en_GB", "de", "fr", "es", "it", "nl", "sv", "fi", "pl", "tr")
"""Those of which a line with a date and its ISO form has at most 48 bytes."""


@dataclass(frozen=True)
class RecallData:
    """Multi-query associative recall: keys with their values, then the keys again, whose values are asked.

    The sequences are those of Zoology (Arora et al., 2023) without random fillers; see `data.recall`.
    """

    vocab: int = 64
    """Tokens: a blank, keys (the rest of the first half) and values (the second half)."""
    pairs: int = 8
    """The most keys, each with a value, that a sequence of training begins with; all are asked for later."""
    length: int = 32
    """Tokens of a sequence."""
    power: float = 0.01
    """The gap g before a question has probability ∝ (g+1)^(power-1): small powers ask soon, 1 at any time."""
    evaluation_examples: int = 512
    """Sequences of each row of the final table."""
    seed: int = 0
    """Decides all sequences; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        require_whole("pairs", self.pairs, 2)
        require_whole("evaluation_examples", self.evaluation_examples, 1)
        require_whole("vocab", self.vocab, 4 * self.pairs + 2, "keys for twice data.pairs, which are tested")
        require_whole("length", self.length, 4 * self.pairs, "two tokens for each pair and each question")
        require(self.length % 2 == 0, f"data.length is {self.length}: it must be even")
        number = isinstance(self.power, int | float) and not isinstance(self.power, bool)
        require(
            number and 0 < self.power <= 1, f"data.power is {self.power!r}: it must be a number in (0, 1]"
        )
        require_seed("data.seed", self.seed)


@dataclass(frozen=True)
class CopyingData:
    """Copying: a random string, a mark, and the string again (Jelassi et al., 2024); see `data.copying`."""

    letters: int = 26
    """Size of the alphabet."""
    length: int = 16
    """The longest string of training; all lengths up to it are equally likely."""
    evaluation_examples: int = 512
    """Sequences of each row of the final table."""
    seed: int = 0
    """Decides all strings; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        _require_alphabet(self.letters)
        require_whole("length", self.length, 2)
        _require_evaluation(self)


@dataclass(frozen=True)
class InductionData:
    """Induction: what followed a trigger the first time is asked the second time; see `data.induction`."""

    letters: int = 16
    """Size of the alphabet, the trigger not counted."""
    length: int = 48
    """Tokens of a sequence of training."""
    evaluation_examples: int = 512
    """Sequences of each row of the final table."""
    seed: int = 0
    """Decides all sequences; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        require_whole("length", self.length, 3, "the trigger, what follows it, and the trigger again")
        _require_alphabet(self.letters)
        _require_evaluation(self)


@dataclass(frozen=True)
class SelectiveCopyingData:
    """Selective copying: letters among blanks, then as many marks; see `data.selective_copying`."""

    letters: int = 16
    """Size of the alphabet."""
    count: int = 8
    """Letters of a sequence, and marks."""
    length: int = 40
    """Tokens before the marks in a sequence of training."""
    evaluation_examples: int = 512
    """Sequences of each row of the final table."""
    seed: int = 0
    """Decides all sequences; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        _require_alphabet(self.letters)
        require_whole("count", self.count, 1)
        require_whole("length", self.length, self.count, "data.count letters")
        _require_evaluation(self)


@dataclass(frozen=True)
class ListOpsData:
    """ListOps: nested minima, maxima, medians and sums of digits; see `data.listops`."""

    length: int = 48
    """The most tokens of an expression of training; all lengths from 4 up to it are equally likely."""
    evaluation_examples: int = 512
    """Expressions of each row of the final table."""
    seed: int = 0
    """Decides all expressions; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        require_whole("length", self.length, 4, "an operator, two digits and a bracket")
        _require_evaluation(self)


@dataclass(frozen=True)
class GroupWordsData:
    """State tracking: the product of the elements of a group so far; see `data.group_words`."""

    group: Group = "S5"
    """Z2 (parity), or all permutations of 3 or of 5 things."""
    length: int = 48
    """Elements of a word of training."""
    evaluation_examples: int = 512
    """Words of each row of the final table."""
    seed: int = 0
    """Decides all words; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        groups = get_args(Group)
        require(self.group in groups, f"data.group is {self.group!r}: it must be one of {', '.join(groups)}")
        require_whole("length", self.length, 1)
        _require_evaluation(self)


@dataclass(frozen=True)
class LibraryBytesData:
    """The bytes of the modules of Python's standard library, one after another; see `data.library_bytes`."""

    length: int = 48
    """Bytes of a sequence of training."""
    evaluation_examples: int = 512
    """Sequences of each row of the final table."""
    seed: int = 0
    """Decides where sequences begin; training, validation and test have modules of their own."""

    def __post_init__(self) -> None:
        require_whole("length", self.length, 1)
        _require_evaluation(self)


@dataclass(frozen=True)
class DateBytesData:
    """Dates as bytes: "1 de febrero de 2003|2003-02-01", line by line; see `data.date_bytes`."""

    locales: tuple[str, ...] = SHORT_LOCALES
    """CLDR locales of the dates."""
    examples: int = 20_000
    """Lines that training draws from."""
    length: int = 48
    """Bytes of a sequence of training; it holds as many lines as fit."""
    evaluation_examples: int = 512
    """Sequences of each row of the final table."""
    seed: int = 0
    """Decides which dates and formats are held out, and all sequences."""

    def __post_init__(self) -> None:
        require(len(self.locales) > 0, "data.locales is empty: at least one CLDR locale is needed")
        for locale in self.locales:
            require(
                locale in DATE_LOCALES,
                f"data.locales has {locale!r}: it must be one of {', '.join(DATE_LOCALES)}",
            )
        require_whole("examples", self.examples, 1)
        require_whole("length", self.length, 1)
        _require_evaluation(self)


_OF_LENGTH: Mapping[str, Callable[..., Any]] = {
    "recall": lambda length, **more: RecallData(
        vocab=max(64, 4 * (length // 8) + 2), pairs=length // 8, length=length, **more
    ),
    "copying": lambda length, **more: CopyingData(length=(length - 1) // 2, **more),
    "induction": InductionData,
    "selective_copying": lambda length, **more: SelectiveCopyingData(
        count=length // 6, length=length - length // 6, **more
    ),
    "listops": ListOpsData,
    "parity": lambda **more: GroupWordsData("Z2", **more),
    "s3": lambda **more: GroupWordsData("S3", **more),
    "s5": lambda **more: GroupWordsData("S5", **more),
    "text": LibraryBytesData,
    "dates": DateBytesData,
}
SOURCES = tuple(_OF_LENGTH)
"""The names of all sources."""


@dataclass(frozen=True)
class SourceData:
    """One of the sources of sequences, by its name, at one length for all.

    >>> SourceData("copying", length=32).own.length
    15
    >>> SourceData("paritty")
    Traceback (most recent call last):
    attnjax.config.InputError: data.source is 'paritty': there is no such source; did you mean parity?
    """

    source: str = "recall"
    """One of recall, copying, induction, selective_copying, listops, parity, s3, s5, text and dates."""
    length: int = 48
    """The most tokens of a sequence of training, whatever the source; an even number."""
    evaluation_examples: int = 512
    """Sequences of each row of the final table."""
    seed: int = 0
    """Decides all sequences; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        hint = nearest(self.source, SOURCES) or f": expected one of {', '.join(SOURCES)}"
        require(self.source in SOURCES, f"data.source is {self.source!r}: there is no such source{hint}")
        require_whole("length", self.length, 16)
        require(self.length % 2 == 0, f"data.length is {self.length}: it must be even")
        self.own  # noqa: B018  What it refuses is refused here.

    @property
    def own(self) -> Any:
        """The settings of the source itself."""
        return _OF_LENGTH[self.source](
            length=self.length, evaluation_examples=self.evaluation_examples, seed=self.seed
        )


def require_whole(name: str, value: Any, least: int, reason: str = "") -> None:
    """Raises InputError where data.NAME is no whole number, or below the least."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    because = f" ({reason})" if reason else ""
    require(
        whole and value >= least,
        f"data.{name} is {value!r}: it must be a whole number, {least} or more{because}",
    )


def _require_alphabet(letters: Any) -> None:
    require_whole("letters", letters, 2)
    require(letters <= 26, f"data.letters is {letters}: there are 26, from a to z")


def _require_evaluation(config: Any) -> None:
    require_whole("evaluation_examples", config.evaluation_examples, 1)
    require_seed("data.seed", config.seed)
