"""The alignment error rate: links between words, compared with those that people made."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from attnjax.config import InputError

LINK = re.compile(r"(\d+)([-?p])(\d+)")

Links = Iterable[tuple[int, int]]


class GoldLinks(NamedTuple):
    """The links of one sentence that people made: the sure ones, and all that are possible."""

    sure: frozenset[tuple[int, int]]
    possible: frozenset[tuple[int, int]]


def read_gold(line: str, place: str, first: int = 0) -> GoldLinks:
    """Returns the links of a line in Pharaoh's form: sure ones as 0-1, possible ones as 0?1 or 0p1.

    Args:
      line: the links of one sentence.
      place: of the line, for errors.
      first: the number of the first word.

    Raises:
      InputError: the line has something else.

    Example:
      >>> gold = read_gold("0-0 2?1", "gold:1")
      >>> sorted(gold.sure), sorted(gold.possible)
      ([(0, 0)], [(0, 0), (2, 1)])
    """
    links = []
    for text in line.split():
        found = LINK.fullmatch(text)
        if found is None:
            raise InputError(f"{place}: {text!r}, expected links such as 0-1 or, if only possible, 0?1")
        source, target = int(found[1]) - first, int(found[3]) - first
        if min(source, target) < 0:
            raise InputError(f"{place}: {text!r}, expected words from {first} on")
        links.append(((source, target), found[2] == "-"))
    return GoldLinks(frozenset(x for x, sure in links if sure), frozenset(x for x, _ in links))


def alignment_error_rate(found: Sequence[Links], gold: Sequence[GoldLinks]) -> float:
    """Returns 1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|) over all sentences, 0 to 1.

    Args:
      found: A, the links of each sentence.
      gold: S and P of each.

    Raises:
      ValueError: other numbers of sentences.

    References:
      Och and Ney, A Systematic Comparison of Various Statistical Alignment Models, 2003,
      Computational Linguistics 29(1), section 5.

    Example:
      >>> alignment_error_rate([[(0, 0), (1, 1), (2, 2)]], [read_gold("0-0 1-2 1?1", "gold:1")])
      0.4
    """
    hits = total = 0
    for links, own in zip(found, gold, strict=True):
        answered = set(links)
        hits += len(answered & own.sure) + len(answered & own.possible)
        total += len(answered) + len(own.sure)
    return 1 - hits / total if total else 0.0
