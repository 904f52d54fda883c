"""The parts of series, of which no two share a person or a group of persons."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from attnjax.config import require
from attnjax.data.series.cohort import Cohort, cohort
from attnjax.data.series.config import SeriesData
from attnjax.data.series.events import EventRows, PersonEvents, outcome_table, read_events
from attnjax.data.series.formats import END, read_psv, read_ts
from attnjax.data.series.malformed import named
from attnjax.data.series.planted import LABELS, planted
from attnjax.data.synthetic.questions import Split
from attnjax.data.tables.config import TableData
from attnjax.data.tables.files import Table, require_columns
from attnjax.data.tables.parts import label_names

PARTS = ("train", "validation", "test")
_SPLITS = dict(zip(PARTS, Split, strict=True))


class SeriesParts(NamedTuple):
    """The persons of a task.

    Attributes:
      cohorts: by the name of their part.
      labels: the two values of the label, the positive one last.
      notes: on what is left out.
    """

    cohorts: dict[str, Cohort]
    labels: tuple[str, str]
    notes: list[str]


def table_settings(data: SeriesData) -> TableData:
    """Returns the settings of the table of outcomes, of which a model reads the further columns."""
    kept = [name for name in (data.end, data.group) if name is not None]
    return TableData(
        target=data.event,
        positive=data.positive,
        person=data.person,
        left_out=(*data.left_out, *kept),
        categorical=data.categorical,
        subgroups=data.subgroups,
    )


def series_parts(data: SeriesData) -> SeriesParts:
    """Returns the persons of the parts "train", "validation" and "test"; those without a file are held out.

    Raises:
      InputError: a file is not good or lacks a column; rows cannot be used, unless `data.skip_malformed`
        leaves them out; a person is in two parts; a part has persons of one label alone, or none.
    """
    if data.train is None:
        counts = {"train": data.examples}
        cohorts = {
            part: planted(counts.get(part, data.evaluation_examples), data, _SPLITS[part]) for part in PARTS
        }
        return SeriesParts(cohorts, LABELS, [])
    given = {part: _read(file, data) for part in PARTS if (file := getattr(data, part)) is not None}
    data = _with_ends(data)
    for rows, table in given.values():
        rows.malformed.require_none(rows.total, skip=data.skip_malformed)
        _require_columns(table, data)
    _require_apart({part: rows.events() for part, (rows, _) in given.items()})
    train = given["train"][1]
    labels = label_names(train, table_settings(data))
    notes, cohorts = [], {}
    for part, (rows, _) in given.items():
        if rows.malformed.lines:
            notes.append(f"left out, as data.skip_malformed says: {rows.malformed.text(rows.total)}")
        cohorts[part], left = cohort(rows.events(), _of_part(part, given, data), data, labels[1])
        notes += [f"{part}: {note}" for note in left]
    if data.group is not None:
        _require_groups_apart(cohorts, data)
    missing = [part for part in PARTS if part not in cohorts]
    if missing:
        cohorts |= _held_out(cohorts["train"], data, missing)
    for part, own in cohorts.items():
        require(
            len(set(own.labels.tolist())) == 2,
            f"data.{part} has {len(own)} person(s), and not both labels: expected more persons",
        )
    return SeriesParts({part: cohorts[part] for part in PARTS}, labels, notes)


def _with_ends(data: SeriesData) -> SeriesData:
    hospital = data.train is not None and data.train.is_dir()
    return replace(data, end=END) if hospital and data.end is None else data


def _read(file: Path, data: SeriesData) -> tuple[EventRows, Table]:
    if file.is_dir():
        require(
            data.horizon is not None,
            f"{file}: its labels come with time: expected data.landmark and data.horizon, in hours",
        )
        return read_psv(file, data.person, data.event)
    if file.suffix.lower() == ".ts":
        return read_ts(file, data.person, data.event)
    return read_events(file, data.person), outcome_table(data.outcomes, data.person)


def _require_columns(table: Table, data: SeriesData) -> None:
    fields: dict[str, tuple[str | None, ...]] = {
        "data.event": (data.event,),
        "data.end": (data.end,),
        "data.group": (data.group,),
        "data.left_out": data.left_out,
        "data.categorical": data.categorical,
        "data.subgroups": data.subgroups,
    }
    for field, names in fields.items():
        require_columns(table, [name for name in names if name is not None], field)
    empty = np.flatnonzero(table.columns[data.event] == "")
    place = table.place(int(empty[0])) if len(empty) else ""
    require(not place, f"{place}: the column {data.event!r} is empty: data.event")


def _groups(table: Table, data: SeriesData) -> np.ndarray:
    """Returns the group of each person; one without a group is one by themselves."""
    persons = table.columns[data.person]
    if data.group is None:
        return persons
    groups = table.columns[data.group]
    return np.where(groups == "", persons, groups + " of " + data.group)


def _require_apart(parts: Mapping[str, PersonEvents]) -> None:
    home: dict[str, str] = {}
    twice = []
    for part, events in parts.items():
        for who, place in zip(events.persons, events.places, strict=True):
            if home.setdefault(who, part) != part:
                twice.append(f"{place}: the person {who!r} is in data.{home[who]} too")
    require(not twice, f"{len(twice)} person(s) are in two parts, expected one: {named(twice)}")


def _require_groups_apart(cohorts: Mapping[str, Cohort], data: SeriesData) -> None:
    home: dict[str, str] = {}
    twice = []
    for part, own in cohorts.items():
        for row, name in enumerate(_groups(own.table, data)):
            if home.setdefault(name, part) != part:
                twice.append(f"{own.table.place(row)}: {name!r} is in data.{home[name]} too")
    require(not twice, f"{len(twice)} person(s) share a group with another part: {named(twice)}")


def _of_part(part: str, given: Mapping[str, tuple[EventRows, Table]], data: SeriesData) -> Table:
    """Returns the outcomes of a part; a person without events in any part counts to training."""
    table = given[part][1]
    persons = {name: set(rows.events().persons) for name, (rows, _) in given.items()}
    others = set().union(*(own for name, own in persons.items() if name != part))
    names = table.columns[data.person]
    kept = [who in persons[part] or (part == "train" and who not in others) for who in names]
    return table.chosen(np.flatnonzero(kept))


def _held_out(whole: Cohort, data: SeriesData, missing: list[str]) -> dict[str, Cohort]:
    names = _groups(whole.table, data)
    distinct = sorted(set(names))
    order = np.random.default_rng([data.seed, 41]).permutation(len(distinct))
    count = math.ceil(data.holdout * len(distinct))
    require(
        count * len(missing) < len(distinct),
        f"{whole.table.source}: {len(distinct)} person(s) are too few to hold out {' and '.join(missing)}",
    )
    home = {}
    for place, i in enumerate(order):
        home[distinct[i]] = missing[place // count] if place < count * len(missing) else "train"
    homes = np.array([home[name] for name in names])
    return {part: whole.chosen(np.flatnonzero(homes == part)) for part in ("train", *missing)}
