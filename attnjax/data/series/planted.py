"""Persons with a planted deterioration: one sign drifts before the event; which and since when is known.

Each sign of a person is measured at random times and is N(own level, noise 1); levels differ between persons.
Of half of all persons another sign goes as far for a few days and comes back, long before. So a last value or
a mean says little of the label, and the course says more.
"""

import numpy as np
from jaxtyping import Bool, Float

from attnjax.data.series.cohort import Cohort, PlantedDrift
from attnjax.data.series.config import SeriesData
from attnjax.data.synthetic.questions import Split, stream
from attnjax.data.tables.files import Table

SIGNS = ("breaths", "oxygen", "pressure", "pulse", "temperature")
DIRECTIONS = np.array([1.0, -1.0, -1.0, 1.0, 1.0])
"""In which each sign drifts."""
LABELS = ("stays well", "deteriorates")
DAYS = 16
"""That are seen of a person."""
SHARE = 0.4
"""Of persons with the drift."""
EVENTS = 56
"""Of a person, on average; as many of each sign."""
LEVEL_SD = 2.0
"""Of a person's own level of a sign, between persons; the noise has a standard deviation of 1."""
ONSETS = np.arange(1.0, 6.25, 0.25)
"""Days before the landmark at which a drift begins."""
RISE_DAYS = 1.5
"""From the onset until a drift has its size."""
STARTS = np.arange(9.0, 14.25, 0.25)
"""Days before the landmark at which an excursion begins that passes."""
PASSES_DAYS = 3.0
"""From the start of an excursion to its end."""


def planted(count: int, data: SeriesData, part: Split) -> Cohort:
    """Returns so many persons, of a random stream of the part.

    Args:
      count: persons.
      data: with the size of the drift, and the seed.
      part: whose stream it is.
    """
    rng = stream(data.seed, part, 43)
    counts = np.clip(rng.poisson(EVENTS, count), 2, data.max_events)
    there = np.arange(data.max_events) < counts[:, None]
    # Later ones are dropped by sorting the padding to the end.
    times = np.sort(np.where(there, -DAYS * rng.random(there.shape), np.inf), axis=1)
    times = np.where(there, times, 0)
    signs = rng.integers(0, len(SIGNS), there.shape)
    levels = LEVEL_SD * rng.normal(size=(count, len(SIGNS)))
    labels = (rng.random(count) < SHARE).astype(int)
    drifting, onsets = rng.integers(0, len(SIGNS), count), rng.choice(ONSETS, count)
    passes = rng.random(count) < 0.5
    # Another sign than the one that drifts.
    other = (drifting + rng.integers(1, len(SIGNS), count)) % len(SIGNS)
    starts = rng.choice(STARTS, count)
    values = levels[np.arange(count)[:, None], signs] + rng.normal(size=there.shape)
    drift = drift_of(times, onsets[:, None]) * (DIRECTIONS[drifting] * labels)[:, None]
    passing = excursion_of(times, starts[:, None]) * (DIRECTIONS[other] * passes)[:, None]
    values += data.drift * drift * (signs == drifting[:, None])
    values += data.drift * passing * (signs == other[:, None])
    columns = {
        data.person: np.array([f"{part.name.lower()} {i}" for i in range(count)], object),
        data.event: np.array(LABELS, object)[labels],
        "age": rng.integers(40, 90, count).astype(str).astype(object),
        "sex": rng.choice(np.array(["female", "male"], object), count),
    }
    table = Table("planted", columns, np.arange(1, count + 1))
    arrays = (times, np.where(there, signs, -1), np.where(there, values, np.nan))
    return Cohort(SIGNS, *arrays, labels, table, PlantedDrift(drifting, -onsets))


def drift_of(times: Float[np.ndarray, "..."], onsets: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Returns the course of a drift, from 0 to 1.

    Args:
      times: of events, before the landmark: 0 or less.
      onsets: days before the landmark.

    Example:
      >>> drift_of(np.array([-6.0, -4.25, 0.0]), np.array(5.0)).tolist()
      [0.0, 0.5, 1.0]
    """
    return np.clip((times + onsets) / RISE_DAYS, 0, 1)


def excursion_of(
    times: Float[np.ndarray, "..."], starts: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """Returns the course of an excursion, which rises as a drift and is gone after `PASSES_DAYS`.

    Example:
      >>> excursion_of(np.array([-11.0, -9.25, -6.0]), np.array(10.0)).tolist()
      [0.0, 0.5, 0.0]
    """
    return drift_of(times, starts) * (times <= PASSES_DAYS - starts)


def best_shares(
    cohort: Cohort, drift: float, shift: Float[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " n"]:
    """Returns the probability of the event by all rules that made the persons: nobody can do better.

    It is Bayes' rule over every onset and start, and sign, with the own levels integrated out.

    Args:
      cohort: planted persons, or what is left of them `until` an earlier landmark.
      drift: its size.
      shift: the days by which that landmark is earlier; None: 0.
    """
    shift = np.zeros(len(cohort)) if shift is None else shift
    times = cohort.times - shift[:, None]
    ratios: dict[str, list[np.ndarray]] = {"drift": [], "passing": []}
    for sign in range(len(SIGNS)):
        own = cohort.signs == sign
        for name, course, begins in (("drift", drift_of, ONSETS), ("passing", excursion_of, STARTS)):
            courses = DIRECTIONS[sign] * drift * course(times[:, None], begins[:, None])
            ratios[name].append(_ratio(courses, cohort.values, own))
    drifts, passing = (np.array(ratios[name]) for name in ("drift", "passing"))
    count = len(SIGNS)
    with_drift = np.mean(
        [drifts[s] * (0.5 + 0.5 * (passing.sum(0) - passing[s]) / (count - 1)) for s in range(count)], axis=0
    )
    odds = SHARE / (1 - SHARE) * with_drift / (0.5 + 0.5 * passing.mean(0))
    return odds / (1 + odds)


def _ratio(
    courses: Float[np.ndarray, "n H T"], values: Float[np.ndarray, "n T"], own: Bool[np.ndarray, "n T"]
) -> Float[np.ndarray, " n"]:
    """Returns how much likelier values are with one of the courses than without, on average.

    The covariance of k values is 1 on the diagonal and LEVEL_SD² everywhere: its inverse takes from a vector
    a share of its mean.
    """
    values, courses = np.where(own, values, 0), np.where(own[:, None], courses, 0)
    share = LEVEL_SD**2 / (1 + LEVEL_SD**2 * own.sum(1))

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a * b).sum(-1) - share[:, None] * a.sum(-1) * b.sum(-1)

    linear, square = product(courses, values[:, None]), product(courses, courses)
    ratios: np.ndarray = np.exp(linear - square / 2).mean(1)
    return ratios
