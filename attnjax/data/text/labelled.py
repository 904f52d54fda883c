"""Texts with labels, in parts that share no text. Errors name file and row."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from attnjax.config import InputError, require
from attnjax.data.text.labelled_config import LabelledData
from attnjax.data.text.labelled_files import LabelledRow, read_rows, refuse

PARTS = ("train", "validation", "test")


class Labelled(NamedTuple):
    """Texts and their labels, names or numbers, and the file and row of each."""

    texts: list[str]
    labels: list[str]
    places: list[str]

    @classmethod
    def of(cls, rows: Sequence[LabelledRow]) -> "Labelled":
        """Returns these rows."""
        return cls(*map(list, zip(*rows, strict=True))) if rows else cls([], [], [])

    def rows(self) -> list[LabelledRow]:
        """Returns the rows."""
        return [LabelledRow(*row) for row in zip(*self, strict=True)]


def labelled_parts(data: LabelledData) -> dict[str, Labelled]:
    """Returns the parts "train", "validation" and "test"; those without a file are held out of `train`.

    Equal texts stay together, so that none is in two parts.

    Raises:
      InputError: there is no `data.train`, a file is not good, a class stands in one row of training alone,
        or a part has no text.
    """
    if data.train is None:
        raise InputError("data.train is None: expected a TSV, CSV or JSON lines file, or a folder")
    found = {
        name: Labelled.of(read_rows(file, data.text_column, data.label_column))
        for name in PARTS
        if (file := getattr(data, name)) is not None
    }
    if data.labels == "classes":
        _refuse_single(found["train"])
    missing = [name for name in PARTS if name not in found]
    if missing:
        distinct = list(dict.fromkeys(found["train"].texts))
        order = np.random.default_rng([data.seed, 19]).permutation(len(distinct))
        count = math.ceil(data.holdout * len(distinct))
        home = {
            distinct[i]: missing[place // count] if place < count * len(missing) else "train"
            for place, i in enumerate(order)
        }
        rows = found["train"].rows()
        for name in ("train", *missing):
            found[name] = Labelled.of([row for row in rows if home[row.text] == name])
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
    for part, own in parts.items():
        refuse(
            [
                f"{place}: the label {label!r} of data.{part} is none that training has"
                for _, label, place in own.rows()
                if label not in names
            ]
        )
    return names


def as_numbers(part: str, own: Labelled) -> np.ndarray:
    """Returns labels as numbers.

    Raises:
      InputError: one is no finite number.
    """
    numbers, malformed = [], []
    for _, label, place in own.rows():
        try:
            number = float(label)
        except ValueError:
            number = math.nan
        numbers.append(number)
        if not math.isfinite(number):
            malformed.append(
                f"{place}: data.{part} has the label {label!r}: data.labels is 'numbers', expected a number"
            )
    refuse(malformed)
    return np.array(numbers, np.float32)


def _refuse_single(train: Labelled) -> None:
    counts = Counter(train.labels)
    refuse(
        [
            f"{place}: the label {label!r} stands in this row of training alone"
            for _, label, place in train.rows()
            if counts[label] == 1
        ]
    )
