"""Events of persons in files: person, time, sign and value. Errors name file and row."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from attnjax.config import require
from attnjax.data.series.malformed import Malformed
from attnjax.data.tables.files import Table, read_table, require_columns

TIME, SIGN, VALUE = "time", "sign", "value"


class PersonEvents(NamedTuple):
    """Events, person by person, each in order of time.

    Attributes:
      source: the name of the file or folder.
      persons: in the order of the file.
      places: of the first event of each person: file and line.
      starts: the place of each person's first event in the arrays, and the number of all at the end.
      times: of the events.
      signs: their names.
      values: NaN where there is none, as of a diagnosis.
    """

    source: str
    persons: list[str]
    places: list[str]
    starts: Int[np.ndarray, " P"]
    times: Float[np.ndarray, " E"]
    signs: np.ndarray
    values: Float[np.ndarray, " E"]


class EventRows:
    """Collects the rows of events.

    Args:
      source: what they are read from.

    Example:
      >>> rows = EventRows("own.csv")
      >>> rows.add("anna", 3.0, "pulse", 80.0, "own.csv:2")
      >>> rows.events().starts.tolist()
      [0, 1]
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.malformed = Malformed()
        self.total = 0
        self._places: dict[str, str] = {}
        self._rows: dict[str, list[tuple[float, str, float]]] = {}

    def add(self, person: str, time: float, sign: str, value: float, place: str) -> None:
        """Takes in an event, or its place where a person's time goes backwards."""
        own = self._rows.setdefault(person, [])
        self._places.setdefault(person, place)
        if own and time < own[-1][0]:
            self.malformed.add(
                place, f"time is {time:g}, before {own[-1][0]:g} of the row above it of {person!r}"
            )
            return
        own.append((time, sign, value))

    def events(self) -> PersonEvents:
        """Returns the rows."""
        flat = [row for own in self._rows.values() for row in own]
        starts = np.cumsum([0, *(len(own) for own in self._rows.values())])
        times, signs, values = zip(*flat, strict=True) if flat else ((), (), ())
        return PersonEvents(
            self.source,
            list(self._rows),
            [self._places[person] for person in self._rows],
            starts,
            np.array(times, float),
            np.array(signs, object),
            np.array(values, float),
        )


def read_events(file: Path, person: str) -> EventRows:
    """Returns the events of a .csv or .parquet file, and its rows that cannot be used.

    Args:
      file: with the columns of the person, time, sign and value; an empty value is that of a diagnosis.
      person: the name of the column with the person.

    Raises:
      InputError: the file is not good or lacks a column.
    """
    table = read_table(file)
    require_columns(table, (person,), "data.person")
    require_columns(table, (TIME, SIGN, VALUE), "data.train, validation and test")
    rows = EventRows(table.source)
    rows.total = len(table)
    columns = (table.columns[name] for name in (person, TIME, SIGN, VALUE))
    for row, (who, time, sign, value) in enumerate(zip(*columns, strict=True)):
        given = number(time), number(value)
        if not who or not sign:
            rows.malformed.add(table.place(row), f"{person if not who else SIGN} is empty")
        elif given[0] is None or not time:
            rows.malformed.add(table.place(row), f"time is {time!r}: expected a number")
        elif given[1] is None:
            rows.malformed.add(table.place(row), f"value is {value!r}: expected a number")
        else:
            rows.add(who, given[0], sign, given[1], table.place(row))
    return rows


def number(text: str) -> float | None:
    """Returns a finite number, NaN for no text, and None for another text."""
    if not text:
        return math.nan
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def outcome_table(file: Path | None, person: str) -> Table:
    """Returns the rows of outcomes, one for each person.

    Raises:
      InputError: there is no file, it is not good, a person is missing or there twice.
    """
    require(file is not None, "data.outcomes is None: expected a .csv or .parquet file with a row per person")
    assert file is not None
    table = read_table(file)
    require_columns(table, (person,), "data.person")
    seen: dict[str, int] = {}
    for row, who in enumerate(table.columns[person]):
        require(bool(who), f"{table.place(row)}: {person} is empty")
        first = seen.setdefault(who, row)
        require(first == row, f"{table.place(row)}: the person {who!r} is in {table.place(first)} too")
    return table
