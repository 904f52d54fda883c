"""Rows of texts as numbers: standardised ones, codes of classes, and NaN for what is missing."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from attnjax.config import require
from attnjax.data.tables.config import TableData
from attnjax.data.tables.files import Table

MOST_CLASSES = 64
"""Classes of a column; more are most likely names, or numbers with a mistake among them."""


@dataclass(frozen=True)
class Feature:
    """A column that a model reads.

    Attributes:
      name: of the column.
      classes: the texts it may have; empty for a column of numbers.
      mean: of the numbers of training.
      scale: their standard deviation, 1 where they are all the same.
    """

    name: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    def value(self, text: str) -> float:
        """Returns a text as a number; NaN where it is missing, or a class that training has not.

        Raises:
          ValueError: It is no number, and the column is of numbers.
        """
        if not text:
            return math.nan
        if self.classes:
            return float(self.classes.index(text)) if text in self.classes else math.nan
        return (float(text) - self.mean) / self.scale


class Features:
    """The columns that a model reads, as training has them.

    Args:
      features: in order.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = tuple(features)

    @classmethod
    def of(cls, train: Table, data: TableData) -> "Features":
        """Returns the features of a table, without its target, its persons and what is left out.

        Raises:
          InputError: a column has no value, too many classes, or a class that stands in one row.
        """
        unread = {data.target, data.person, *data.left_out}
        names = [name for name in train.columns if name not in unread]
        require(len(names) > 0, f"{train.source}:1: no column is left to read: data.left_out")
        return cls([_feature(train, name, categorical=name in data.categorical) for name in names])

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [feature.name for feature in self.features]

    @property
    def classes(self) -> tuple[int, ...]:
        """The number of classes of each column, 0 for numbers."""
        return tuple(len(feature.classes) for feature in self.features)

    def values(self, table: Table) -> Float32[np.ndarray, "n F"]:
        """Returns the rows of a table as numbers.

        Raises:
          InputError: a text is no number, where training has numbers.
        """
        found = np.empty((len(table), len(self.features)), np.float32)
        for i, feature in enumerate(self.features):
            for row, text in enumerate(table.columns[feature.name]):
                found[row, i] = _value(feature, text, table.place(row))
        return found

    def of_record(self, record: Mapping[str, str]) -> Float32[np.ndarray, " F"]:
        """Returns one row, in which columns that are not named are missing.

        Raises:
          InputError: there is no such column or class, or a text is no number.
        """
        known = {feature.name: feature for feature in self.features}
        for name, text in record.items():
            require(name in known, f"there is no column {name!r}: expected {', '.join(known)}")
            classes = known[name].classes
            require(
                not classes or not text or text in classes,
                f"{name} is {text!r}: expected one of {', '.join(classes)}",
            )
        texts = (record.get(feature.name, "") for feature in self.features)
        row = [_value(f, text, "the input") for f, text in zip(self.features, texts, strict=True)]
        return np.array(row, np.float32)

    def dumped(self) -> str:
        """Returns the features as JSON."""
        return json.dumps([asdict(feature) for feature in self.features], indent=1)

    @classmethod
    def loaded(cls, text: str) -> "Features":
        """Returns what `dumped` gave."""
        rows: list[dict[str, Any]] = json.loads(text)
        return cls([Feature(**{**row, "classes": tuple(row["classes"])}) for row in rows])


def _feature(train: Table, name: str, *, categorical: bool) -> Feature:
    column = train.columns[name]
    there = np.flatnonzero(column != "")
    require(len(there) > 0, f"{train.source}:1: the column {name!r} has no value: data.left_out")
    wrong = next((row for row in there if not _is_number(column[row])), None)
    if wrong is None and not categorical:
        numbers = np.array([float(column[row]) for row in there])
        return Feature(name, (), float(numbers.mean()), float(numbers.std()) or 1.0)
    classes, counts = np.unique(column[there].astype(str), return_counts=True)
    first = int(there[0] if wrong is None else wrong)
    require(
        len(classes) <= MOST_CLASSES,
        f"{train.place(first)}: the column {name!r} has {len(classes)} classes, as {column[first]!r} here is "
        f"no number: expected at most {MOST_CLASSES}, or data.left_out",
    )
    once = classes[counts == 1]
    row = int(np.flatnonzero(column == once[0])[0]) if len(once) else 0
    require(
        not len(once),
        f"{train.place(row)}: the class {column[row]!r} of {name!r} stands in this row of training alone: "
        "expected two or more",
    )
    return Feature(name, tuple(map(str, classes)))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _value(feature: Feature, text: str, place: str) -> float:
    require(
        not text or bool(feature.classes) or _is_number(text),
        f"{place}: {feature.name} is {text!r}: expected a number",
    )
    return feature.value(text)
