"""The parts of a translation task's data: for training, for choosing the best model, and for tests."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.dates import date_splits
from attnjax.data.text.example import Example
from attnjax.data.text.filters import PairFilters
from attnjax.data.text.parallel_text import parallel_text, read_parallel_text

NAMED = 10
"""Lines that cannot be used and are named, of all that are counted."""


def translation_splits(
    data: TranslationData, filters: PairFilters | None = None
) -> tuple[dict[str, list[Example]], list[str]]:
    """Returns the examples by part ("train", "validation", the test parts), and the lines that are malformed.

    The embedded dates have two test parts, "dates" and "pairs" (see `date_splits`); a user's corpus has
    "test", or those of `data.tests` by their names. Of a malformed line "file:line: why" is told, as by
    `read_parallel_text`. The parts that are held out are those of filtered pairs.

    Args:
      data: the settings.
      filters: those of `data`, which note what they leave out; None for new ones.

    Raises:
      InputError: a file that cannot be read, files of different lengths, too few lines to hold some out, or
        filters that leave nothing.
    """
    if data.train is None:
        return date_splits(data), []
    parts: dict[str, list[Example]] = {"train": []}
    malformed: list[str] = []
    for found in training_pairs(data, filters or PairFilters(data.filters)):
        parts["train"].append(found) if isinstance(found, Example) else malformed.append(found)
    _require_some(parts["train"], malformed)
    languages = data.source_language, data.target_language
    for part, (source, target) in data.given.items():
        parts[part], left = read_parallel_text(source, target, group=part, languages=languages)
        malformed += left
        _require_some(parts[part], left)
    missing = data.missing
    sources = {example.source for example in parts["train"]}
    if len(sources) <= len(missing):
        count, part = len(sources), missing[0]
        few = f"{data.train}: {count} distinct source text(s) are too few to hold out a {part} part"
        lines = sum(map(len, parts.values())) + len(malformed)
        more = f"; {unusable(malformed, lines)}" if malformed else ""
        raise InputError(f"{few}; add lines, or give data.{part}{more}")
    rng = np.random.default_rng([data.seed, 1])
    for part in missing:
        group = None if data.more else part
        parts[part], parts["train"] = hold_out(parts["train"], data.holdout, rng, group=group)
    order = dict.fromkeys(("train", "validation", "test", *parts))
    return {part: parts[part] for part in order if part in parts}, malformed


def training_pairs(data: TranslationData, filters: PairFilters) -> Iterator[Example | str]:
    """Yields the pairs of all training corpora that pass the filters, and why a line is none.

    Sources have their tags and prefixes. Of several corpora a pair has the path of its own as its group.

    Raises:
      InputError: as `parallel_text`, or filters leave nothing of a corpus.
    """
    languages = data.source_language, data.target_language
    for i, (source, target) in enumerate(data.corpora):
        group = "train" if not data.more else str(source)
        before = f"{data.tags[i]} " if data.tags else ""
        before += data.prefixes[i] if data.prefixes else ""
        read, kept = 0, 0
        for found in parallel_text(source, target, group=group, languages=languages):
            if isinstance(found, str):
                yield found
                continue
            read += 1
            if filters.keep(found):
                kept += 1
                yield found._replace(source=before + found.source) if before else found
        if read and not kept:
            raise InputError(f"{source}: data.filters leave none of its pairs: out went {filters.report}")


def _require_some(examples: Sequence[Example], malformed: Sequence[str]) -> None:
    if not examples:
        raise InputError(unusable(malformed, len(malformed)))


def unusable(places: Sequence[str], total: int, count: int | None = None) -> str:
    """Returns one line on the lines that cannot be used: their number, the first of them, and the reasons.

    Of `count` lines, `places` may be only the first ones.

    >>> unusable(["a.tsv:2: the target text is empty"], 40)
    '1 of 40 lines cannot be used: a.tsv:2: the target text is empty'
    """
    count = len(places) if count is None else count
    more = f"; and {count - NAMED} more" if count > NAMED else ""
    return f"{count} of {total} lines cannot be used: {'; '.join(places[:NAMED])}{more}"


def hold_out(
    examples: Sequence[Example],
    share: float,
    rng: np.random.Generator,
    *,
    group: str | None = None,
    by: Literal["source", "group"] = "source",
) -> tuple[list[Example], list[Example]]:
    """Returns a share of the distinct source texts, or groups, with all their lines, and the other lines.

    Those that are held out get the group, if one is given.
    """
    units = list(dict.fromkeys(getattr(example, by) for example in examples))
    count = max(1, round(share * len(units)))
    chosen = {units[i] for i in rng.permutation(len(units))[:count].tolist()}
    held_out = [e._replace(group=group or e.group) for e in examples if getattr(e, by) in chosen]
    return held_out, [example for example in examples if getattr(example, by) not in chosen]
