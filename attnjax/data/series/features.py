"""Series as numbers: signs as codes, values standardised by sign, and the further columns of persons."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from attnjax.config import InputError, require
from attnjax.data.series.cohort import Cohort
from attnjax.data.series.config import SeriesData
from attnjax.data.series.events import number
from attnjax.data.series.parts import table_settings
from attnjax.data.tables.features import Features

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class SeriesFeatures:
    """Numbers that a model reads of persons, as training has them.

    Attributes:
      signs: their names; their place is their code.
      means: of the values of training, 0 of a sign without any.
      scales: their standard deviations, 1 where they are all the same.
      persons: the further columns.
    """

    signs: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    persons: Features

    @classmethod
    def of(cls, train: Cohort, data: SeriesData) -> "SeriesFeatures":
        """Returns the features of the persons of training.

        Raises:
          InputError: a column cannot be read, or a class stands in one row.
        """
        means, scales = [], []
        for code in range(len(train.names)):
            own = train.values[(train.signs == code) & ~np.isnan(train.values)]
            means.append(float(own.mean()) if len(own) else 0.0)
            scales.append((float(own.std()) if len(own) else 1.0) or 1.0)
        settings = table_settings(data)
        unread = {settings.target, settings.person, *settings.left_out}
        further = any(name not in unread for name in train.table.columns)
        persons = Features.of(train.table, settings) if further else Features(())
        return cls(train.names, tuple(means), tuple(scales), persons)

    def arrays(self, cohort: Cohort) -> Arrays:
        """Returns "times", "signs", "values", "present" [n, T], "persons" [n, F] and "labels" [n].

        Events of signs that training has not count as not there.
        """
        known = [self.signs.index(name) if name in self.signs else -1 for name in cohort.names]
        signs = np.array([*known, -1])[cohort.signs]
        there = signs >= 0
        codes = np.where(there, signs, 0)
        values = (cohort.values - np.array(self.means)[codes]) / np.array(self.scales)[codes]
        return {
            "times": np.where(there, cohort.times, 0).astype(np.float32),
            "signs": codes.astype(np.int32),
            "values": np.where(there, values, np.nan).astype(np.float32),
            "present": there,
            "persons": self.persons.values(cohort.table),
            "labels": cohort.labels.astype(np.int32),
        }

    def of_text(self, text: str) -> Arrays:
        """Returns the arrays of one person, "-30 pulse 80, -2 pulse 95, 0 diabetes; age=62, sex=female".

        Raises:
          InputError: an event is not time, sign and value, or of a sign or column that the model has not.
        """
        events, _, further = text.partition(";")
        rows = sorted((self._event(part) for part in events.split(",")), key=lambda row: row[0])
        record = {}
        for part in filter(str.strip, further.split(",")):
            name, equals, value = part.partition("=")
            require(bool(equals), f"{part.strip()!r}: expected column=value")
            record[name.strip()] = value.strip()
        times, codes, values = map(np.array, zip(*rows, strict=True))
        standard = (values - np.array(self.means)[codes]) / np.array(self.scales)[codes]
        return {
            "times": times.astype(np.float32),
            "signs": codes.astype(np.int32),
            "values": standard.astype(np.float32),
            "present": np.ones(len(rows), bool),
            "persons": self.persons.of_record(record),
        }

    def _event(self, part: str) -> tuple[float, int, float]:
        words = part.split()
        if len(words) not in (2, 3):
            raise InputError(f"{part.strip()!r}: expected time, sign and, of a measurement, value")
        time, value = number(words[0]), number(words[2]) if len(words) == 3 else np.nan
        require(time is not None and time <= 0, f"{part.strip()!r}: expected a time before now, 0 or less")
        require(words[1] in self.signs, f"there is no sign {words[1]!r}: expected {', '.join(self.signs)}")
        require(value is not None, f"{part.strip()!r}: expected a number as the value")
        assert time is not None
        assert value is not None
        return time, self.signs.index(words[1]), value

    def dumped(self) -> dict[str, Any]:
        """Returns the features as JSON holds them."""
        own = {"signs": self.signs, "means": self.means, "scales": self.scales}
        return own | {"persons": json.loads(self.persons.dumped())}

    @classmethod
    def loaded(cls, record: dict[str, Any]) -> "SeriesFeatures":
        """Returns what `dumped` gave."""
        signs, means, scales = (tuple(record[name]) for name in ("signs", "means", "scales"))
        return cls(signs, means, scales, Features.loaded(json.dumps(record["persons"])))


def counted(arrays: Arrays, signs: Sequence[str]) -> Float[np.ndarray, "n W"]:
    """Returns what models without a sequence read: of each sign the count, last value, last time and mean.

    The further columns of the persons come after them.

    Args:
      arrays: of `SeriesFeatures.arrays`.
      signs: all names.
    """
    columns = []
    for code in range(len(signs)):
        own = arrays["present"] & (arrays["signs"] == code)
        measured = own & ~np.isnan(arrays["values"])
        some = measured.any(1)
        last = measured.shape[1] - 1 - np.argmax(measured[:, ::-1], axis=1)
        rows = np.arange(len(last))
        count = np.maximum(measured.sum(1), 1)
        mean = np.where(measured, arrays["values"], 0).sum(1) / count
        latest = np.where(own, arrays["times"], -np.inf).max(1)
        columns += [
            own.sum(1).astype(float),
            np.where(some, arrays["values"][rows, last], np.nan),
            np.where(own.any(1), latest, np.nan),
            np.where(some, mean, np.nan),
        ]
    return np.column_stack([*columns, arrays["persons"]]).astype(np.float64)
