"""Checks of what a measurement needs, before any of it is made."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from attnjax.config import require
from attnjax.explain.attributions.attribution import Attribution, require_known
from attnjax.explain.faithfulness.metrics import METRICS
from attnjax.explain.faithfulness.table import BEST, MODEL, RANDOM, RATIONALE
from attnjax.explain.question import Question


def wanted(metrics: Sequence[str] | None, known: bool) -> list[str]:
    """Returns the names of the metrics that are asked for.

    Raises:
      InputError: there is none of this name.
    """
    if metrics is None:
        kinds = ("order", "scores") if known else ("order",)
        return [name for name, metric in METRICS.items() if metric.of in kinds]
    asked = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in asked:
        require_known(name, METRICS, "metrics has")
    return asked


def require_parts(
    names: Sequence[str], given: Mapping[str, Any], known: bool, others: Sequence[Question]
) -> None:
    """Raises InputError where a metric lacks what it needs."""
    taken = {RANDOM, BEST, RATIONALE, MODEL} & set(given)
    require(not taken, f"attributions has {min(taken, default='')!r}: a row of this name is there already")
    require(bool(given), "attributions is empty: expected one or more")
    for name in names:
        of = METRICS[name].of
        require(of != "scores" or known, f"metrics has {name!r}: expected a rationale beside it")
        fixed = [row for row, each in given.items() if isinstance(each, Attribution)]
        require(
            of != "method" or not fixed,
            f"metrics has {name!r}: it asks again, expected a method's name or a function as "
            f"{', '.join(fixed)}, not its result",
        )
        require(
            name != "seed_variance" or len(others) > 0,
            "metrics has 'seed_variance': expected `others`, the same inputs asked of further models",
        )


def marks(name: str, given: Any, present: Bool[np.ndarray, "B T"]) -> Bool[np.ndarray, "B T"]:
    """Returns marks of tokens: none where nothing is given, and none of padding.

    Raises:
      InputError: they are not one boolean for each token.
    """
    if given is None:
        return np.zeros_like(present)
    marks = np.asarray(given)
    fits = marks.dtype == bool and marks.shape == present.shape
    require(
        fits,
        f"{name} {marks.dtype}{list(marks.shape)}: expected bool{list(present.shape)}, one a token",
    )
    return marks & present
