"""Time at which a planted drift is told: persons as they are some days after its onset."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from attnjax.data.series.cohort import Cohort
from attnjax.data.series.planted import best_shares
from attnjax.tasks.metrics.binary import auroc

DAYS = (0.5, 1, 1.5, 2, 3)
"""After the onset."""
FALSE_ALARMS = 0.1
"""Share of persons without drift for whom there is an alarm."""


def early_rows(
    cohort: Cohort, drift: float, shares: Callable[[Cohort], Float[np.ndarray, " n"]]
) -> dict[str, dict[str, float]]:
    """Returns a row for each number of days after the onset, beside what the rules would tell by then.

    Persons without drift are looked at as long after an onset that they do not have; those whose onset is
    less long ago are left out.

    Args:
      cohort: planted persons.
      drift: its size.
      shares: the probabilities of a model.
    """
    assert cohort.truth is not None
    rows = {}
    for days in DAYS:
        landmark = cohort.truth.onsets + days
        chosen = np.flatnonzero(landmark <= 0)
        own, right = cohort.chosen(chosen).until(landmark[chosen]), cohort.labels[chosen] == 1
        given, best = shares(own), best_shares(own, drift, -landmark[chosen])
        rows[f"{days:g} day(s) after the onset"] = {
            "AUROC": auroc(given, right),
            "best AUROC": auroc(best, right),
            "found %": found_percent(given, right),
            "best found %": found_percent(best, right),
            "inputs": float(len(right)),
        }
    return rows


def found_percent(shares: Float[np.ndarray, " n"], right: np.ndarray) -> float:
    """Returns the percentage of positives above the score that a tenth of the negatives exceed.

    Example:
      >>> found_percent(np.array([0.9, 0.2, *np.linspace(0, 0.5, 11)]), np.array([True] * 2 + [False] * 11))
      50.0
    """
    threshold = np.quantile(shares[~right], 1 - FALSE_ALARMS)
    return 100 * float((shares[right] > threshold).mean())
