"""Pairs of texts as TSV files."""

from collections.abc import Iterable
from pathlib import Path

Pair = tuple[str, str]


def cleaned(text: str) -> str:
    """Returns a text with spaces and line ends as one space."""
    return " ".join(text.split())


def distinct(pairs: Iterable[Pair]) -> list[Pair]:
    """Returns the cleaned pairs, each once, without those of which a side is empty or both are the same.

    >>> distinct([("a  b", "c"), ("a b", "c"), ("a", "a"), ("", "b")])
    [('a b', 'c')]
    """
    both = ((cleaned(source), cleaned(target)) for source, target in pairs)
    return list(dict.fromkeys(pair for pair in both if all(pair) and pair[0] != pair[1]))


def write_pairs(file: Path, pairs: Iterable[Pair]) -> int:
    """Writes pairs, a line each, and returns their number."""
    lines = [f"{source}\t{target}\n" for source, target in pairs]
    file.write_text("".join(lines), encoding="utf-8")
    return len(lines)
