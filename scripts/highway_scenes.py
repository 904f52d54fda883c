"""Writes scenes of highway-env as tracks of cars, for `attnjax run driving --data.train FILE`.

    pip install highway-env==1.12.1
    python scripts/highway_scenes.py tracks.csv [--scenes 300] [--kinds merge-v1 roundabout-v1]
    attnjax run driving --data.train tracks.csv

Every car is driven by highway-env's Intelligent Driver Model with lane changes, the one of the environment's
agent too, which is the first of its scene. A scene begins after two seconds, for cars to have found their
gaps, and has the eight cars that are nearest to it then, every half second for seven seconds. Nobody says
which car minds which: those rows of the report are of scenes by our own rules alone.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

SECONDS, STEPS = 0.5, 5
"""Between two places of a car, and the steps of the simulation between them."""
BEGIN, TIMES, CARS = 4, 14, 8
"""Places before a scene begins, those of a scene (`data.past` and `data.future`), and its cars."""
KINDS = ("merge-v1", "intersection-v2", "roundabout-v1")

Row = tuple[str, int, float, float, float]


def scene(kind: str, seed: int) -> Iterator[Row]:
    """The rows of a scene: its name, the number of a car, a time, x and y in metres."""
    import gymnasium
    import highway_env  # noqa: F401, it registers the environments
    import numpy as np
    from highway_env.vehicle.behavior import IDMVehicle

    environment = gymnasium.make(kind).unwrapped
    environment.reset(seed=seed)
    road, agent = environment.road, environment.vehicle
    driven = IDMVehicle.create_from(agent)
    road.vehicles = [driven, *(car for car in road.vehicles if car is not agent)]
    for place in range(BEGIN + TIMES):
        if place == BEGIN:
            road.vehicles.sort(key=lambda car: float(np.linalg.norm(car.position - driven.position)))
            cars = road.vehicles[:CARS]
        if place >= BEGIN:
            for number, car in enumerate(cars):
                x, y = map(float, car.position)
                yield f"{kind} {seed}", number, (place - BEGIN) * SECONDS, round(x, 3), round(y, 3)
        for _ in range(STEPS):
            road.act()
            road.step(SECONDS / STEPS)
    environment.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--scenes", type=int, default=300, help="of each kind (default: 300)")
    parser.add_argument(
        "--kinds", nargs="+", default=KINDS, metavar="KIND", help=f"default: {' '.join(KINDS)}"
    )
    options = parser.parse_args()
    if options.scenes < 1:
        parser.error(f"--scenes is {options.scenes}: expected 1 or more")
    try:
        import highway_env  # noqa: F401
    except ImportError:
        parser.error("highway-env is not installed: pip install highway-env")
    rows = [row for kind in options.kinds for seed in range(options.scenes) for row in scene(kind, seed)]
    with options.file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(("scene", "car", "time", "x", "y"))
        writer.writerows(rows)
    print(f"{len({row[0] for row in rows})} scenes, {len(rows)} places: {options.file}")


if __name__ == "__main__":
    main()
