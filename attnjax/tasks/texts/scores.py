"""Scores of labels that were given, against the right ones."""

import numpy as np
from jaxtyping import Float, Int


def classes_score(labels: Int[np.ndarray, " n"], given: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Returns the percentage of right classes.

    Example:
      >>> classes_score(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))
      {'right %': 75.0}
    """
    return {"right %": 100 * float(np.mean(labels == given))}


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
