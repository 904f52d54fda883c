"""Scores of labels that were given, against the right ones."""

import numpy as np
from jaxtyping import Float, Int

from attnjax.tasks.metrics.binary import calibration_error


def classes_score(labels: Int[np.ndarray, " n"], given: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Returns the percentage of right classes.

    Example:
      >>> classes_score(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))
      {'right %': 75.0}
    """
    return {"right %": 100 * float(np.mean(labels == given))}


def shares_score(labels: Int[np.ndarray, " n"], shares: Float[np.ndarray, "n L"]) -> dict[str, float]:
    """Returns the percentage of right classes, macro-averaged F1 and the calibration error of probabilities.

    F1 is the mean over the classes that stand in the labels. The calibration error is that of the probability
    of the likeliest class, in ten groups of equal size.

    Example:
      >>> shares = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.8, 0.2]])
      >>> {name: round(score, 3) for name, score in shares_score(np.array([0, 1, 1, 0]), shares).items()}
      {'right %': 75.0, 'macro F1 %': 73.333, 'calibration error': 0.35}
    """
    given = shares.argmax(-1)
    scores = []
    for label in np.unique(labels):
        hits = np.sum((given == label) & (labels == label))
        scores.append(2 * hits / (np.sum(given == label) + np.sum(labels == label)))
    return {
        **classes_score(labels, given),
        "macro F1 %": 100 * float(np.mean(scores)),
        "calibration error": calibration_error(shares.max(-1).astype(np.float64), given == labels),
    }


def numbers_score(labels: Float[np.ndarray, " n"], given: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Returns Pearson's correlation, 0 where one side is constant, and the root mean square error.

    Example:
      >>> scores = numbers_score(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0]))
      >>> round(scores["correlation"], 6), scores["error"]
      (1.0, 1.0)
    """
    error = float(np.sqrt(np.mean((labels - given) ** 2)))
    spread = float(np.std(labels) * np.std(given))
    products = float(np.mean((labels - np.mean(labels)) * (given - np.mean(given))))
    return {"correlation": products / spread if spread > 0 else 0.0, "error": error}
