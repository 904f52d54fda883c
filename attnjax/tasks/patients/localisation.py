"""Measures of whether scores of events find the planted drift: its sign, and its events."""

import numpy as np
from jaxtyping import Bool, Float

from attnjax.data.series.cohort import Cohort
from attnjax.tasks.metrics.binary import average_precision


def drifting(cohort: Cohort) -> Bool[np.ndarray, "n T"]:
    """Returns True for the events of the sign that drifts, from the onset on."""
    assert cohort.truth is not None
    signs, onsets = cohort.truth
    return (cohort.signs == signs[:, None]) & (cohort.times >= onsets[:, None])


def located(scores: Float[np.ndarray, "n T"], cohort: Cohort) -> dict[str, float]:
    """Returns how well scores of events find the drift of planted persons.

    Args:
      scores: of the events; what stands at the padding does not count.
      cohort: persons with a drift and at least one event of it.

    Returns:
      The mean average precision of events beside those of the drift, the percentage of persons whose highest
      score is of one, and in which the sign with the greatest sum of scores is the one that drifts.
    """
    assert cohort.truth is not None
    right, there = drifting(cohort), cohort.present
    found = [average_precision(own[p], which[p]) for own, which, p in zip(scores, right, there, strict=True)]
    top = np.where(there, scores, -np.inf).argmax(1)
    sums = np.stack(
        [np.where(cohort.signs == code, scores, 0).sum(1) for code in range(len(cohort.names))], axis=1
    )
    return {
        "AUPRC of events": float(np.mean(found)),
        "top event drifts %": 100 * float(right[np.arange(len(top)), top].mean()),
        "right sign %": 100 * float((sums.argmax(1) == cohort.truth.signs).mean()),
    }


def random_located(cohort: Cohort) -> dict[str, float]:
    """Returns the expected scores of a random order of events, and of a random sign.

    The average precision is that of chance in the limit of many events, their share.
    """
    share = float((drifting(cohort).sum(1) / cohort.present.sum(1)).mean())
    return {
        "AUPRC of events": share,
        "top event drifts %": 100 * share,
        "right sign %": 100 / len(cohort.names),
    }
