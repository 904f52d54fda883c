"""The parts of a translation task's data: what is trained on, what chooses the best model, what is tested."""

from collections.abc import Sequence

import numpy as np

from attnjax.config import require
from attnjax.data.config import TranslationData
from attnjax.data.dates import date_splits
from attnjax.data.example import Example
from attnjax.data.parallel_text import read_parallel_text


def translation_splits(data: TranslationData) -> dict[str, list[Example]]:
    """The examples by part: "train", "validation", then the test parts.

    The embedded dates have two test parts, "dates" and "pairs" (see `date_splits`); a user's corpus has one,
    "test". Raises InputError for a file that cannot be used, by file and line.
    """
    if data.train is None:
        return date_splits(data)
    parts = {}
    for part in ("train", "validation", "test"):
        source, target = getattr(data, part), getattr(data, f"{part}_target")
        if source is not None:
            parts[part] = read_parallel_text(source, target, group=part)
    rng = np.random.default_rng([data.seed, 1])
    for part in ("validation", "test"):
        if part not in parts:
            parts[part], parts["train"] = _hold_out(parts["train"], data.holdout, part, rng)
    return {part: parts[part] for part in ("train", "validation", "test")}


def _hold_out(
    examples: Sequence[Example], share: float, group: str, rng: np.random.Generator
) -> tuple[list[Example], list[Example]]:
    """Takes a share of the distinct source texts with all their lines: no held-out text is trained on."""
    sources = list(dict.fromkeys(example.source for example in examples))
    count = max(1, round(share * len(sources)))
    file = examples[0].place.rsplit(":", 1)[0]
    require(
        count < len(sources),
        f"{file}: {len(sources)} distinct source text(s) are too few to hold out a {group} part; "
        f"add lines, or give data.{group}",
    )
    chosen = {sources[i] for i in rng.permutation(len(sources))[:count].tolist()}
    held_out = [example._replace(group=group) for example in examples if example.source in chosen]
    return held_out, [example for example in examples if example.source not in chosen]
