"""PairFilters of training pairs, and the report of what they left out and why."""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from attnjax.data.text.example import Example
from attnjax.data.text.filter_config import ALL_PAIRS, FilterConfig

LINES = 100_000
"""Most lines of a report; all pairs are counted."""
NUMBER = re.compile(r"\d+")


@dataclass
class FilterReport:
    """The pairs that filters left out: how many by the name of the filter, and each with its reason.

    Attributes:
      read: the pairs that were asked.
      counts: those that went, by the filter's name.
      lines: "file:line: filter: why" for each of them, but for what is beyond `LINES`.
    """

    read: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        by_name = ", ".join(f"{count} by {name}" for name, count in self.counts.most_common())
        return f"{self.counts.total()} of {self.read} pairs: {by_name}"

    def save(self, folder: Path) -> None:
        """Writes filtered.txt with all that went, and filtered.json with the counts."""
        record = {"read": self.read, "left_out": dict(self.counts)}
        (folder / "filtered.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        rest = self.counts.total() - len(self.lines)
        more = [f"and {rest} more"] if rest else []
        lines = "".join(f"{line}\n" for line in [*self.lines, *more])
        (folder / "filtered.txt").write_text(lines, encoding="utf-8")


class PairFilters:
    """The filters of a config, which note what they leave out.

    >>> filters = PairFilters(FilterConfig(max_ratio=2, duplicates="pairs"))
    >>> pairs = [Example("a b", "c"), Example("a b c", "d"), Example("a b", "c")]
    >>> [pair.target for pair in pairs if filters.keep(pair)]
    ['c']
    >>> print(filters.report)
    2 of 3 pairs: 1 by max_ratio, 1 by duplicates
    """

    def __init__(self, config: FilterConfig) -> None:
        self.report = FilterReport()
        self._config = config
        self._seen: set[bytes] = set()
        self._asked = [(name, ask) for name, ask in _FILTERS.items() if _is_set(config, name)]

    def keep(self, example: Example) -> bool:
        """Returns whether a pair stays."""
        failed = self.failed(example)
        if failed is None and self._config.duplicates != "keep":
            key = self.key(example)
            if key in self._seen:
                failed = "duplicates", f"the {self._config.duplicates.removesuffix('s')} was there before"
            self._seen.add(key)
        self.note(example, failed)
        return failed is None

    def failed(self, example: Example) -> tuple[str, str] | None:
        """Returns the first condition that a pair by itself fails, with the reason; None if it meets all."""
        for name, ask in self._asked:
            if reason := ask(example, self._config):
                return name, reason
        return None

    def note(self, example: Example, failed: tuple[str, str] | None) -> None:
        """Enters a pair into the report."""
        self.report.read += 1
        if failed is not None:
            name, reason = failed
            self.report.counts[name] += 1
            if len(self.report.lines) < LINES:
                self.report.lines.append(f"{example.place or example.group}: {name}: {reason}")

    def key(self, example: Example) -> bytes:
        """Returns 8 bytes that duplicates share; of 10 million others two do, once in 370 000 corpora."""
        texts = {"pairs": f"{example.source}\0{example.target}", "sources": example.source}
        text = texts.get(self._config.duplicates, example.target)
        return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _is_set(config: FilterConfig, name: str) -> bool:
    return getattr(config, name) != getattr(ALL_PAIRS, name)


def _sizes(example: Example, config: FilterConfig) -> tuple[int, int]:
    sides = example.source, example.target
    one, other = (len(side.split()) if config.unit == "words" else len(side) for side in sides)
    return one, other


def _short(example: Example, config: FilterConfig) -> str:
    size = min(_sizes(example, config))
    return f"a side has {size} {config.unit}" if size < config.min_length else ""


def _long(example: Example, config: FilterConfig) -> str:
    size = max(_sizes(example, config))
    assert config.max_length is not None
    return f"a side has {size} {config.unit}" if size > config.max_length else ""


def _ratio(example: Example, config: FilterConfig) -> str:
    less, more = sorted(_sizes(example, config))
    assert config.max_ratio is not None
    return f"{more} to {less} {config.unit}" if more > config.max_ratio * less else ""


def _word(example: Example, config: FilterConfig) -> str:
    size = max(map(len, f"{example.source} {example.target}".split()))
    assert config.max_word is not None
    return f"a word of {size} characters" if size > config.max_word else ""


def _letters(example: Example, config: FilterConfig) -> str:
    share = min(map(letters, (example.source, example.target)))
    return f"{share:.2f} of a side are letters" if share < config.min_letters else ""


def _numbers(example: Example, config: FilterConfig) -> str:
    one, other = (sorted(map(int, NUMBER.findall(side))) for side in (example.source, example.target))
    return f"{one} here, {other} there" if one != other else ""


def _copy(example: Example, config: FilterConfig) -> str:
    return "both sides are the same" if example.source == example.target else ""


_FILTERS: dict[str, Callable[[Example, FilterConfig], str]] = {
    "min_length": _short,
    "max_length": _long,
    "max_ratio": _ratio,
    "max_word": _word,
    "min_letters": _letters,
    "same_numbers": _numbers,
    "copies": _copy,
}


def letters(text: str) -> float:
    """Returns the share of letters, and of marks that belong to them, among characters other than spaces.

    >>> letters("ab 12"), letters("हिन्दी"), letters("")
    (0.5, 1.0, 1.0)
    """
    characters = "".join(text.split())
    return sum(map(_is_letter, characters)) / len(characters) if characters else 1.0


@cache
def _is_letter(character: Any) -> bool:
    return unicodedata.category(character)[0] in "LM"
