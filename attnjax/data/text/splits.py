"""The parts of a translation task's data: for training, for choosing the best model, and for tests."""

from collections.abc import Sequence

import numpy as np

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.dates import date_splits
from attnjax.data.text.example import Example
from attnjax.data.text.parallel_text import read_parallel_text

NAMED = 10
"""Lines that cannot be used and are named, of all that are counted."""


def translation_splits(data: TranslationData) -> tuple[dict[str, list[Example]], list[str]]:
    """Returns the examples by part ("train", "validation", the test parts), and the lines that are malformed.

    The embedded dates have two test parts, "dates" and "pairs" (see `date_splits`); a user's corpus has one,
    "test". Of a malformed line "file:line: why" is told, as by `read_parallel_text`.

    Raises:
      InputError: a file that cannot be read, files of different lengths, too few lines to hold some out.
    """
    if data.train is None:
        return date_splits(data), []
    parts: dict[str, list[Example]] = {}
    malformed: list[str] = []
    for part in ("train", "validation", "test"):
        source, target = getattr(data, part), getattr(data, f"{part}_target")
        if source is not None:
            parts[part], found = read_parallel_text(source, target, group=part)
            malformed += found
            if not parts[part]:
                raise InputError(unusable(found, len(found)))
    missing = [part for part in ("validation", "test") if part not in parts]
    sources = {example.source for example in parts["train"]}
    if len(sources) <= len(missing):
        count, part = len(sources), missing[0]
        few = f"{data.train}: {count} distinct source text(s) are too few to hold out a {part} part"
        lines = sum(map(len, parts.values())) + len(malformed)
        more = f"; {unusable(malformed, lines)}" if malformed else ""
        raise InputError(f"{few}; add lines, or give data.{part}{more}")
    rng = np.random.default_rng([data.seed, 1])
    for part in missing:
        parts[part], parts["train"] = _hold_out(parts["train"], data.holdout, part, rng)
    return {part: parts[part] for part in ("train", "validation", "test")}, malformed


def unusable(places: Sequence[str], total: int) -> str:
    """Returns one line on the lines that cannot be used: their number, the first of them, and the reasons.

    >>> unusable(["a.tsv:2: the target text is empty"], 40)
    '1 of 40 lines cannot be used: a.tsv:2: the target text is empty'
    """
    more = f"; and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return f"{len(places)} of {total} lines cannot be used: {'; '.join(places[:NAMED])}{more}"


def _hold_out(
    examples: Sequence[Example], share: float, group: str, rng: np.random.Generator
) -> tuple[list[Example], list[Example]]:
    """Returns a share of the distinct source texts with all their lines: no held-out text is trained on."""
    sources = list(dict.fromkeys(example.source for example in examples))
    count = max(1, round(share * len(sources)))
    chosen = {sources[i] for i in rng.permutation(len(sources))[:count].tolist()}
    held_out = [example._replace(group=group) for example in examples if example.source in chosen]
    return held_out, [example for example in examples if example.source not in chosen]
