"""Scores of probabilities of one of two labels."""

import math

import numpy as np
from jaxtyping import Bool, Float, Int

BINS = 10
"""Groups of equal size of `calibration_error`."""


def binary_scores(shares: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> dict[str, float]:
    """Returns AUROC, AUPRC, calibration error and Brier score, and the number of inputs.

    Args:
      shares: the probability of the positive label.
      right: True where it is the label.

    Example:
      >>> found = binary_scores(np.array([0.9, 0.4, 0.1]), np.array([True, False, False]))
      >>> found["AUROC"], found["AUPRC"], round(found["Brier"], 4)
      (1.0, 1.0, 0.06)
    """
    shares = shares.astype(np.float64)
    return {
        "AUROC": auroc(shares, right),
        "AUPRC": average_precision(shares, right),
        "calibration error": calibration_error(shares, right),
        "Brier": float(np.mean((shares - right) ** 2)),
        "inputs": float(len(right)),
    }


def auroc(scores: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Returns the share of pairs of a positive and a negative in which the positive has the higher score.

    A pair of equal scores counts half. It is NaN where all are of one label.

    Example:
      >>> auroc(np.array([3.0, 2.0, 2.0]), np.array([True, True, False]))
      0.75
    """
    positive, negative = int(right.sum()), int((~right).sum())
    if not positive or not negative:
        return math.nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[right].sum() - positive * (positive + 1) / 2) / (positive * negative))


def average_precision(scores: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Returns the area below precision over recall, Σ (R_k - R_{k-1}) P_k over the distinct scores.

    It is NaN where none is positive.

    Example:
      >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
      0.8333333333333333
    """
    total = int(right.sum())
    if total == 0:
        return math.nan
    order = np.argsort(-scores, kind="stable")
    # The last of equal scores has them all above the threshold.
    last = np.append(scores[order][1:] != scores[order][:-1], True)
    hits, chosen = np.cumsum(right[order])[last], np.flatnonzero(last) + 1
    return float((np.diff(hits, prepend=0) / total * hits / chosen).sum())


def calibration_error(shares: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Returns the mean distance of probability and frequency over ten groups of neighbouring probabilities.

    Groups are as even as can be; it is the expected calibration error with bins of equal mass. Equal
    probabilities share their frequency, so that the order of the inputs does not part them.

    References:
      Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015.

    Example:
      >>> round(calibration_error(np.array([0.2, 0.2]), np.array([True, False])), 6)
      0.3
    """
    _, ties = np.unique(shares, return_inverse=True)
    frequency = (np.bincount(ties, right) / np.bincount(ties))[ties]
    gaps = [len(group) * abs(shares[group].mean() - frequency[group].mean()) for group in groups_of(shares)]
    return float(sum(gaps) / len(shares))


def groups_of(shares: Float[np.ndarray, " n"]) -> list[Int[np.ndarray, " k"]]:
    """Returns the places of ten groups of neighbouring probabilities, as even as can be."""
    order = np.argsort(shares, kind="stable")
    return [group for group in np.array_split(order, BINS) if len(group)]
