"""Texts with labels: a TSV file (text<TAB>label). Errors name file and line."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from attnjax.config import InputError, require
from attnjax.data.text.labelled_config import LabelledData
from attnjax.data.text.parallel_text import read_parallel_text

PARTS = ("train", "validation", "test")
SHOWN = 5
"""Lines that an error names."""


class Labelled(NamedTuple):
    """Texts and their labels, names or numbers."""

    texts: list[str]
    labels: list[str]


def read_labelled(file: Path) -> Labelled:
    """Returns the texts and labels of a TSV file.

    Raises:
      InputError: the file cannot be read or is empty, or a line is not text<TAB>label.
    """
    examples, malformed = read_parallel_text(file, group="")
    if malformed:
        more = f"; and {len(malformed) - SHOWN} more" if len(malformed) > SHOWN else ""
        named = "; ".join(malformed[:SHOWN]).replace("source<TAB>target", "text<TAB>label")
        raise InputError(f"{named.replace('the target text', 'the label')}{more}")
    return Labelled([x.source for x in examples], [x.target for x in examples])


def labelled_parts(data: LabelledData) -> dict[str, Labelled]:
    """Returns the parts "train", "validation" and "test"; those without a file are held out of `train`.

    Equal texts stay together, so that none is in two parts.

    Raises:
      InputError: there is no `data.train`, a file is not good, or a part has no text.
    """
    if data.train is None:
        raise InputError("data.train is None: expected a TSV file, text<TAB>label a line")
    found = {name: read_labelled(file) for name in PARTS if (file := getattr(data, name)) is not None}
    missing = [name for name in PARTS if name not in found]
    if missing:
        texts, labels = found["train"]
        distinct = list(dict.fromkeys(texts))
        order = np.random.default_rng([data.seed, 19]).permutation(len(distinct))
        count = math.ceil(data.holdout * len(distinct))
        home = {
            distinct[i]: missing[place // count] if place < count * len(missing) else "train"
            for place, i in enumerate(order)
        }
        for name in ("train", *missing):
            pairs = [pair for pair in zip(texts, labels, strict=True) if home[pair[0]] == name]
            found[name] = Labelled([text for text, _ in pairs], [label for _, label in pairs])
    for name in PARTS:
        require(len(found[name].texts) > 0, f"data.{name} has no text: expected more lines in data.train")
    return {name: found[name] for name in PARTS}


def class_names(parts: dict[str, Labelled]) -> list[str]:
    """Returns the names of the classes of the training part, sorted.

    Raises:
      InputError: there is one alone, or another part has one that training never sees.
    """
    names = sorted(set(parts["train"].labels))
    require(len(names) > 1, f"data.train has the label {names[0]!r} alone: expected two or more")
    for part, (_, labels) in parts.items():
        other = sorted(set(labels) - set(names))
        require(not other, f"data.{part} has the label {(other or [''])[0]!r}, which data.train has not")
    return names


def as_numbers(part: str, labels: Sequence[str]) -> np.ndarray:
    """Returns labels as numbers.

    Raises:
      InputError: one is no finite number.
    """
    numbers = []
    for label in labels:
        try:
            numbers.append(float(label))
        except ValueError:
            numbers.append(math.nan)
        require(
            math.isfinite(numbers[-1]),
            f"data.{part} has the label {label!r}: data.labels is 'numbers', expected a number",
        )
    return np.array(numbers, np.float32)
