"""Scenes of traffic that rules drive: one car minds another one, which is known, and no other.

The rule of speed is the Intelligent Driver Model: a = A·(1 - (v/v₀)⁴ - (g*/g)²) for the gap g to what is
ahead, with g* = g₀ + v·T + v·Δv/(2·√(A·B)).

References:
  Treiber et al., Congested traffic states in empirical observations and microscopic simulations, 2000.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from attnjax.data.driving.config import KINDS, DrivingData

LENGTH_M, STANDSTILL_M, HEADWAY_S, MOST_MPS2, COMFORT_MPS2, HARDEST_MPS2 = 5.0, 2.0, 1.2, 2.0, 2.5, 7.0
"""Of a car; the gap at rest; the time to the car ahead; accelerations of the rule."""
STOP_M = -7.0
"""The place before a crossing where a car waits, from the point where the paths meet."""
MEETING_S = 3.0
"""A car waits for one that would be at the crossing within so much time of itself."""
PARTS = 5
"""Steps of the simulation from one time to the next."""
NOISE_M = 0.03
"""Standard deviation of each coordinate that is seen."""
MATTERS_M = 2.0
"""The minded car matters where the last place of the other one is so far from that without it."""
AHEAD_M = (5.0, 15.0, 30.0)
"""Places on a car's own lane ahead of it that are part of a scene."""


class DrivenScenes(NamedTuple):
    """Scenes in metres.

    Attributes:
      places: [n, C, P + F, 2], of each car at each time; car 0 is the one that minds.
      present: [n, C], True for a car.
      lanes: [n, C, L, 2], places on the lane ahead at the last seen time.
      minded: [n], the number of the car that car 0 minds, -1 where that is not known.
      matters: [n], True where car 0 would be elsewhere without it.
      alone: [n, F, 2], the places of car 0 by the same rules without it.
      kinds: [n], of `KINDS`.
    """

    places: Float[np.ndarray, "n C T 2"]
    present: Bool[np.ndarray, "n C"]
    lanes: Float[np.ndarray, "n C L 2"]
    minded: Int[np.ndarray, " n"]
    matters: Bool[np.ndarray, " n"]
    alone: Float[np.ndarray, "n F 2"]
    kinds: Int[np.ndarray, " n"]


class _Paths(NamedTuple):
    """Ways of cars, by the point where they turn from one heading to another, at distance 0."""

    point: Float[np.ndarray, "... 2"]
    before: Float[np.ndarray, "..."]
    after: Float[np.ndarray, "..."]

    def at(self, distance: Float[np.ndarray, "..."]) -> Float[np.ndarray, "... 2"]:
        heading = np.where(distance < 0, self.before, self.after)
        return self.point + distance[..., None] * np.stack([np.cos(heading), np.sin(heading)], -1)


def drawn_scenes(config: DrivingData, count: int, rng: np.random.Generator, *, cars: int) -> DrivenScenes:
    """Returns scenes of the given number of cars.

    In "following" the car ahead brakes around the last seen time. In "merge" two lanes become one, and who is
    nearer to that place goes first. In "crossing" the other car has the right of way. The others drive on
    parallel lanes either way, far behind on the same lane, or are parked beside it.
    """
    kinds = rng.choice([KINDS.index(kind) for kind in config.kinds], count)
    following, merge, crossing = (kinds == i for i in range(len(KINDS)))
    speed = rng.uniform(6, 14, count)
    wish = speed * rng.uniform(0.95, 1.15, count)
    start = np.where(following, -rng.uniform(0, 60, count), -rng.uniform(35, 75, count))
    turn = rng.choice([-1, 1], count)
    zeros = np.zeros((count, 2))
    own = _Paths(zeros, np.where(merge, turn * rng.uniform(0.15, 0.4, count), 0.0), np.zeros(count))
    angle = turn * rng.uniform(1.1, 2.0, count)
    others = _Paths(zeros, np.where(crossing, angle, 0.0), np.where(crossing, angle, 0.0))
    other_speed = speed * rng.uniform(0.8, 1.1, count)
    lead = np.where(following, rng.uniform(12, 25, count), rng.uniform(-12, 18, count))
    meeting = -other_speed * (-start / speed + rng.uniform(-3, 3, count))
    other_start = np.where(crossing, meeting, start + lead)
    seen = (config.past - 1) * config.seconds
    brake_at = np.where(following, seen - rng.uniform(0, 1.5, count), np.inf)
    brake = rng.uniform(2.5, 5, count)

    times = config.past + config.future
    step = config.seconds / PARTS
    minds: list[np.ndarray] = []
    alone: list[np.ndarray] = []
    theirs: list[np.ndarray] = []
    s, v, lone_s, lone_v, o, w = start, speed, start, speed, other_start, other_speed
    for tick in range(times * PARTS):
        if tick % PARTS == 0:
            minds.append(s)
            alone.append(lone_s)
            theirs.append(o)
        gap, closing = _ahead(following, merge, crossing, s, v, o, w)
        s, v = _moved(s, v, _rule(v, wish, gap, closing), step)
        # What is seen of the car is the same in both: it alone differs from the last seen time on.
        free = _rule(lone_v, wish, np.full(count, np.inf), np.zeros(count))
        lone_s, lone_v = _moved(lone_s, lone_v, free, step)
        if tick == (config.past - 1) * PARTS:
            lone_s, lone_v = s, v
        o, w = _moved(o, w, np.where(tick * step >= brake_at, -brake, 0.0), step)
    ways, lone, their = (np.stack(found, 1) for found in (minds, alone, theirs))

    places = np.empty((count, cars, times, 2))
    lanes = np.empty((count, cars, len(AHEAD_M), 2))
    ahead = np.array(AHEAD_M)
    now = config.past - 1
    for number, (path, way) in enumerate(((own, ways), (others, their))):
        wide = _Paths(*(x[:, None] for x in path))
        places[:, number], lanes[:, number] = wide.at(way), wide.at(way[:, now, None] + ahead)
    _add_others(places[:, 2:], lanes[:, 2:], ways[:, 0], speed, config, rng)
    alone_places = _Paths(*(x[:, None] for x in own)).at(lone)
    matters = np.linalg.norm(alone_places[:, -1] - places[:, 0, -1], axis=-1) > MATTERS_M
    places += rng.normal(0, NOISE_M, places.shape) * (np.arange(times) < config.past)[:, None]

    order = np.concatenate(
        [np.zeros((count, 1), int), 1 + np.argsort(rng.random((count, cars - 1)), axis=1)], axis=1
    )
    rows = np.arange(count)[:, None]
    minded = np.argmax(order == 1, axis=1)
    present = np.ones((count, cars), bool)
    return DrivenScenes(
        places[rows, order],
        present,
        lanes[rows, order],
        minded,
        matters,
        alone_places[:, config.past :],
        kinds,
    )


def _ahead(
    following: np.ndarray, merge: np.ndarray, crossing: np.ndarray, s: np.ndarray, v: np.ndarray,
    o: np.ndarray, w: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Returns the gap to what a car minds, infinite where that is nothing, and how fast it closes."""
    behind = following | (merge & (o >= s))
    arrival, other_arrival = -s / np.maximum(v, 0.5), -o / np.maximum(w, 0.5)
    meets = (o < LENGTH_M) & (s < STOP_M) & (np.abs(arrival - other_arrival) < MEETING_S)
    waits = crossing & meets
    gap = np.where(behind, o - s - LENGTH_M, np.where(waits, STOP_M - s + STANDSTILL_M, np.inf))
    return gap, np.where(behind, v - w, np.where(waits, v, 0.0))


def _rule(v: np.ndarray, wish: np.ndarray, gap: np.ndarray, closing: np.ndarray) -> np.ndarray:
    wanted = STANDSTILL_M + np.maximum(
        0, v * HEADWAY_S + v * closing / (2 * np.sqrt(MOST_MPS2 * COMFORT_MPS2))
    )
    braking = np.where(np.isfinite(gap), (wanted / np.maximum(gap, 0.5)) ** 2, 0.0)
    return np.clip(MOST_MPS2 * (1 - (v / wish) ** 4 - braking), -HARDEST_MPS2, MOST_MPS2)


def _moved(s: np.ndarray, v: np.ndarray, a: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    after = np.maximum(v + a * step, 0)
    return s + step * (v + after) / 2, after


def _add_others(
    places: np.ndarray, lanes: np.ndarray, start: np.ndarray, speed: np.ndarray, config: DrivingData,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Writes the cars that nobody minds."""
    count, cars, times, _ = places.shape
    shape = (count, cars)
    role = rng.choice(4, shape, p=(0.3, 0.2, 0.15, 0.35))
    along, against, behind, parked = (role == i for i in range(4))
    lateral = np.where(parked, rng.choice([-6.0, 6.0], shape), rng.choice([-14.0, -10.5, 10.5, 14.0], shape))
    lateral = np.where(behind, 0.0, lateral)
    pace = np.where(parked, 0.0, np.where(against, -1, 1) * speed[:, None] * rng.uniform(0.7, 1.2, shape))
    offset = np.where(behind, -rng.uniform(25, 45, shape), rng.uniform(-30, 50, shape))
    pace = np.where(behind, np.minimum(pace, 0.9 * speed[:, None]), pace)
    change = np.where(along | against, rng.normal(0, 0.3, shape), 0.0)
    when = np.arange(times) * config.seconds
    x = (start[:, None] + offset)[..., None] + pace[..., None] * when + change[..., None] * when**2 / 2
    places[..., 0], places[..., 1] = x, lateral[..., None]
    lanes[..., 0] = x[..., config.past - 1, None] + np.where(against, -1, 1)[..., None] * np.array(AHEAD_M)
    lanes[..., 1] = lateral[..., None]
