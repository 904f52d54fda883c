"""Scenes of traffic in files: a row for each car at each time. Errors name file and row."""

import math

import numpy as np

from attnjax.config import require
from attnjax.data.driving.config import DrivingData
from attnjax.data.driving.rules import AHEAD_M, DrivenScenes
from attnjax.data.tables.files import Table, read_table, require_columns

COLUMNS = ("scene", "car", "time", "x", "y")
PARTS = ("train", "validation", "test")


def scene_parts(data: DrivingData) -> dict[str, DrivenScenes]:
    """Returns the scenes of the parts; those without a file are held out of `train`.

    A scene has the first `past + future` times of its cars. Its first car in the file is car 0, which has to
    be there at all of them; other cars that are not are left out.

    Raises:
      InputError: a file is not good or lacks a column, a number is none, a car is at one time twice, a scene
        is too short, in two parts, or scenes are too few to hold some out.
    """
    tables = {part: read_table(file) for part in PARTS if (file := getattr(data, part)) is not None}
    for part, table in tables.items():
        require_columns(table, COLUMNS, f"data.{part}")
    missing = [part for part in PARTS if part not in tables]
    home: dict[str, str] = {}
    for part, table in tables.items():
        for row, scene in enumerate(table.columns["scene"]):
            other = home.setdefault(scene, part)
            require(
                other == part,
                f"{table.place(row)}: the scene {scene!r} is in data.{other} too: expected one",
            )
    if missing:
        names = list(dict.fromkeys(tables["train"].columns["scene"]))
        count = math.ceil(data.holdout * len(names))
        require(
            count * len(missing) < len(names),
            f"{tables['train'].source}: {len(names)} scene(s) are too few to hold out "
            f"{' and '.join(missing)}",
        )
        order = np.random.default_rng([data.seed, 37]).permutation(len(names))
        for place, i in enumerate(order):
            home[names[i]] = missing[place // count] if place < count * len(missing) else "train"
        homes = np.array([home[scene] for scene in tables["train"].columns["scene"]])
        whole = tables["train"]
        tables |= {part: whole.chosen(np.flatnonzero(homes == part)) for part in ("train", *missing)}
    return {part: _scenes(tables[part], data) for part in PARTS}


def _scenes(table: Table, data: DrivingData) -> DrivenScenes:
    times = data.past + data.future
    rows: dict[str, dict[str, dict[float, tuple[float, float]]]] = {}
    for row in range(len(table)):
        scene, car = (str(table.columns[name][row]) for name in ("scene", "car"))
        time, x, y = (_number(table, name, row) for name in ("time", "x", "y"))
        track = rows.setdefault(scene, {}).setdefault(car, {})
        require(time not in track, f"{table.place(row)}: the car {car!r} is at time {time:g} twice")
        track[time] = x, y
    most = max(len(cars) for cars in rows.values())
    places = np.zeros((len(rows), most, times, 2))
    present = np.zeros((len(rows), most), bool)
    for number, (scene, cars) in enumerate(rows.items()):
        when = sorted({time for own in cars.values() for time in own})[:times]
        for place, own in enumerate(cars.values()):
            present[number, place] = len(when) == times and all(time in own for time in when)
            if present[number, place]:
                places[number, place] = [own[time] for time in when]
        line = int(np.flatnonzero(table.columns["scene"] == scene)[0])
        require(
            bool(present[number, 0]),
            f"{table.place(line)}: the first car of scene {scene!r} is not there at the first {times} times: "
            "data.past and data.future",
        )
    nobody = np.full(len(rows), -1)
    return DrivenScenes(
        places,
        present,
        np.repeat(places[:, :, data.past - 1, None], len(AHEAD_M), axis=2),  # Nothing is known of lanes.
        nobody,
        nobody > 0,
        places[:, 0, data.past :],
        nobody,
    )


def _number(table: Table, name: str, row: int) -> float:
    text = table.columns[name][row]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    require(math.isfinite(value), f"{table.place(row)}: {name} is {text!r}: expected a number")
    return value
