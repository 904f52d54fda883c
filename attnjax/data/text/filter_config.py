"""Settings of the filters of training pairs. Free of jax and numpy: the command line starts at once."""

from dataclasses import dataclass
from typing import Literal

from attnjax.config import require


@dataclass(frozen=True)
class FilterConfig:
    """The conditions that a training pair has to meet; by default all meet them.

    They are asked in the order of these fields, and a pair goes by the first one that it fails. Lengths are
    those of either side. Validation and test files of your own are not filtered.
    """

    unit: Literal["words", "characters"] = "words"
    """The unit of the lengths and of their ratio; words are what whitespace separates."""
    min_length: int = 0
    """Least length of a side."""
    max_length: int | None = None
    """Greatest length of a side."""
    max_ratio: float | None = None
    """Greatest ratio of the longer side to the shorter one."""
    max_word: int | None = None
    """Most characters of a word."""
    min_letters: float = 0.0
    """Least share of letters, of any script, among a side's characters other than spaces."""
    same_numbers: bool = False
    """True if both sides have to have the same numbers, in any order."""
    copies: bool = True
    """True if the sides may be the same text."""
    duplicates: Literal["keep", "pairs", "sources", "targets"] = "keep"
    """Those of which only the first stays: pairs, or pairs with a source (a target) that was there before."""

    def __post_init__(self) -> None:
        names = {"unit": ("words", "characters"), "duplicates": ("keep", "pairs", "sources", "targets")}
        for name, expected in names.items():
            value = getattr(self, name)
            require(value in expected, f"filters.{name} is {value!r}: expected one of {', '.join(expected)}")
        least = {"min_length": 0, "max_length": 1, "max_ratio": 1, "max_word": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            require(value is None or value >= bound, f"filters.{name} is {value}: expected {bound} or more")
        require(
            0 <= self.min_letters <= 1, f"filters.min_letters is {self.min_letters}: expected a share, 0 to 1"
        )


ALL_PAIRS = FilterConfig()
"""No condition."""
