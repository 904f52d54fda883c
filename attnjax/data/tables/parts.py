"""The parts of a table, of which no two share a person."""

import math

import numpy as np

from attnjax.config import require
from attnjax.data.tables.config import TableData
from attnjax.data.tables.files import Table, read_table, require_columns

PARTS = ("train", "validation", "test")


def table_parts(data: TableData) -> dict[str, Table]:
    """Returns the rows of the parts "train", "validation" and "test"; those without a file are held out.

    Raises:
      InputError: a file is not good, lacks a column, or has rows without a label or a person; the label has
        not two values, or one of them stands in one row; a person is in two parts.
    """
    require(data.train is not None, "data.train is None: expected a .csv or .parquet file")
    given = {part: read_table(file) for part in PARTS if (file := getattr(data, part)) is not None}
    named = {
        "data.target": (data.target,),
        "data.person": () if data.person is None else (data.person,),
        "data.left_out": data.left_out,
        "data.categorical": data.categorical,
        "data.subgroups": data.subgroups,
    }
    for table in given.values():
        for field, names in named.items():
            require_columns(table, names, field)
        require_columns(table, given["train"].columns, "data.train")
        for field in ("target", "person"):
            if (name := getattr(data, field)) is not None:
                empty = np.flatnonzero(table.columns[name] == "")
                row = int(empty[0]) if len(empty) else 0
                require(not len(empty), f"{table.place(row)}: the column {name!r} is empty: data.{field}")
    _require_apart(given, data)
    _require_labels(given, data)
    missing = [part for part in PARTS if part not in given]
    if missing:
        given |= _held_out(given["train"], data, missing)
    for part, table in given.items():
        require(len(table) > 0, f"data.{part} has no row: expected more persons in data.train")
        labels = table.columns[data.target]
        require(
            len(set(labels)) == 2, f"data.{part} has the label {labels[0]!r} alone: expected more persons"
        )
    return {part: given[part] for part in PARTS}


def label_names(table: Table, data: TableData) -> tuple[str, str]:
    """Returns the two values of the label, that of `data.positive` last."""
    names = sorted(set(table.columns[data.target]))
    require(
        len(names) == 2,
        f"{table.source}: the column {data.target!r} has {len(names)} value(s) ({', '.join(names[:4])}), "
        "expected 2: data.target",
    )
    positive = names[1] if data.positive is None else data.positive
    require(
        positive in names,
        f"data.positive is {positive!r}: the values of {data.target!r} are {' and '.join(names)}",
    )
    return names[1 - names.index(positive)], positive


def _persons(table: Table, data: TableData) -> np.ndarray:
    return np.arange(len(table)).astype(str) if data.person is None else table.columns[data.person]


def _held_out(table: Table, data: TableData, missing: list[str]) -> dict[str, Table]:
    persons = _persons(table, data)
    distinct = sorted(set(persons))
    order = np.random.default_rng([data.seed, 31]).permutation(len(distinct))
    count = math.ceil(data.holdout * len(distinct))
    home = {}
    for place, i in enumerate(order):
        home[distinct[i]] = missing[place // count] if place < count * len(missing) else "train"
    homes = np.array([home[person] for person in persons])
    return {part: table.chosen(np.flatnonzero(homes == part)) for part in ("train", *missing)}


def _require_apart(parts: dict[str, Table], data: TableData) -> None:
    if data.person is None:
        return
    home: dict[str, str] = {}
    for part, table in parts.items():
        for row, person in enumerate(table.columns[data.person]):
            other = home.setdefault(person, part)
            require(
                other == part,
                f"{table.place(row)}: the person {person!r} is in data.{other} too: expected one part",
            )


def _require_labels(parts: dict[str, Table], data: TableData) -> None:
    train = parts["train"]
    names = label_names(train, data)
    for name in names:
        rows = np.flatnonzero(train.columns[data.target] == name)
        require(
            len(rows) > 1,
            f"{train.place(int(rows[0]))}: the label {name!r} stands in this row of training alone",
        )
    for table in parts.values():
        labels = table.columns[data.target]
        other = np.flatnonzero(~np.isin(labels.astype(str), names))
        row = int(other[0]) if len(other) else 0
        require(
            not len(other),
            f"{table.place(row)}: the label {labels[row]!r} is none of {' and '.join(names)}",
        )
