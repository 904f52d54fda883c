"""Scores of futures of cars, and of what points at the car that decides."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from attnjax.tasks.metrics.binary import average_precision

MISSED_M = 2.0
"""A last place that is further off is missed."""


def futures_score(
    places: Float[np.ndarray, "n M F 2"], logits: Float[np.ndarray, "n M"], right: Float[np.ndarray, "n F 2"]
) -> dict[str, float]:
    """Returns the distances of the best and of the likeliest of a few futures, in metres.

    minADE is the mean distance over time of the future for which it is least, minFDE the least distance of
    the last places; a car is missed where that is more than 2 m. ADE and FDE are of the likeliest future.

    Args:
      places: of each mode.
      logits: of the modes.
      right: what came.

    Example:
      >>> modes, right = np.zeros((1, 2, 1, 2)), np.zeros((1, 1, 2))
      >>> modes[0, 1] = 3.0, 4.0
      >>> found = futures_score(modes, np.array([[0.0, 1.0]]), right)
      >>> found["minADE m"], found["ADE m"], found["missed %"]
      (0.0, 5.0, 0.0)
    """
    far = np.linalg.norm(places - right[:, None], axis=-1)
    likeliest = far[np.arange(len(far)), logits.argmax(-1)]
    last = far[..., -1].min(1)
    return {
        "minADE m": float(far.mean(-1).min(1).mean()),
        "minFDE m": float(last.mean()),
        "missed %": 100 * float((last > MISSED_M).mean()),
        "ADE m": float(likeliest.mean()),
        "FDE m": float(likeliest[:, -1].mean()),
        "cars": float(len(far)),
    }


def pointing_score(
    scores: Float[np.ndarray, "n C"],
    minded: Int[np.ndarray, " n"],
    present: Bool[np.ndarray, "n C"],
    moved: Float[np.ndarray, "n C"],
) -> dict[str, float]:
    """Returns how well scores of the other cars find the one that car 0 minds.

    Args:
      scores: of all cars; that of car 0 does not count.
      minded: its number.
      present: the cars that are there.
      moved: metres by which the predicted last place of car 0 moves without each car.

    Returns:
      The mean average precision beside the minded car, the percentage of scenes in which it has the highest
      score, and how far the prediction moves without the car of the highest score.
    """
    others = present.copy()
    others[:, 0] = False
    rows = np.arange(len(scores))
    known = np.zeros_like(others)
    known[rows, minded] = True
    found = [
        average_precision(own[there], right[there])
        for own, there, right in zip(scores, others, known, strict=True)
    ]
    top = np.where(others, scores, -np.inf).argmax(1)
    return {
        "AUPRC": float(np.mean(found)),
        "top car is minded %": 100 * float((top == minded).mean()),
        "moves m without top car": float(moved[rows, top].mean()),
    }


def random_pointing(present: Bool[np.ndarray, "n C"], moved: Float[np.ndarray, "n C"]) -> Mapping[str, float]:
    """Returns the expected scores of a random order of the other cars.

    Example:
      >>> found = random_pointing(np.ones((1, 3), bool), np.array([[0.0, 1.0, 3.0]]))
      >>> [float(x) for x in found.values()]
      [0.75, 50.0, 2.0]
    """
    counts = present[:, 1:].sum(1)
    precision = [np.mean(1 / np.arange(1, count + 1)) for count in counts]
    means = (moved[:, 1:] * present[:, 1:]).sum(1) / counts
    return {
        "AUPRC": float(np.mean(precision)),
        "top car is minded %": 100 * float(np.mean(1 / counts)),
        "moves m without top car": float(means.mean()),
    }
