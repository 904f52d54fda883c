"""The metrics: their table, and those that are formulas of curves, orders or scores, in float64."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import binomtest

from attnjax.tasks.metrics import binary

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""The shares of the tokens of which ERASER takes the mean."""
Curve = Float[np.ndarray, "*M B K"]
Counts = Int[np.ndarray, " B"]


@dataclass(frozen=True)
class Metric:
    """A metric in the table.

    Attributes:
      name: in the table.
      what: it in one line.
      paper: the arXiv id of its source, where it has one.
      better: "higher" or "lower".
      of: what it is a number of: an "order" of the tokens, the "scores" beside a rationale, a "method" that
        is asked again, or the "model".
    """

    name: str
    what: str
    paper: str | None
    better: Literal["higher", "lower"]
    of: Literal["order", "scores", "method", "model"]


def comprehensiveness(removed: Curve, kept: Curve, counts: Counts) -> Float[np.ndarray, "*M B"]:
    """Returns the mean fall of the number without the first 1, 5, 10, 20 and 50% of the tokens."""
    return _falls(removed, counts)


def sufficiency(removed: Curve, kept: Curve, counts: Counts) -> Float[np.ndarray, "*M B"]:
    """Returns the mean fall of the number with only the first 1, 5, 10, 20 and 50% of the tokens."""
    return removed[..., 0] - kept[..., 0] + _falls(kept, counts)


def deletion_auc(removed: Curve, kept: Curve, counts: Counts) -> Float[np.ndarray, "*M B"]:
    """Returns the area below the number over the share of the tokens removed, by the trapezoid rule."""
    return _area(removed, counts)


def insertion_auc(removed: Curve, kept: Curve, counts: Counts) -> Float[np.ndarray, "*M B"]:
    """Returns the area below the number over the share of the tokens put back into an empty input."""
    return _area(kept, counts)


def aopc(removed: Curve, kept: Curve, counts: Counts) -> Float[np.ndarray, "*M B"]:
    """Returns the mean fall of the number without the first k tokens, for k = 1 … n."""
    falls = removed[..., :1] - removed
    inside = np.arange(falls.shape[-1]) <= counts[:, None]
    return np.where(inside, falls, 0).sum(-1) / counts


OF_CURVES: dict[str, Callable[[Curve, Curve, Counts], Float[np.ndarray, "*M B"]]] = {
    function.__name__: function
    for function in (comprehensiveness, sufficiency, deletion_auc, insertion_auc, aopc)
}
"""The metrics that are formulas of the two curves."""


def sign_test(values: Float[np.ndarray, " B"], others: Float[np.ndarray, " B"]) -> float:
    """Returns the probability that fair coins part the inputs as unevenly in values above and below others.

    Equal pairs are left out, as by Dixon and Mood; it is 1 where all are.

    Example:
      >>> sign_test(np.array([1.0, 2, 3, 4, 5, 0]), np.zeros(6))
      0.0625
    """
    above, below = int((values > others).sum()), int((values < others).sum())
    return 1.0 if above + below == 0 else float(binomtest(above, above + below).pvalue)


def average_precision(
    scores: Float[np.ndarray, " T"], right: Bool[np.ndarray, " T"], counted: Bool[np.ndarray, " T"]
) -> float:
    """Returns the area below precision over recall, Σ (R_k - R_{k-1}) P_k over the distinct scores.

    Args:
      scores: of the tokens.
      right: True for those of the rationale.
      counted: True for those that can be chosen.

    Example:
      >>> here = np.ones(3, bool)
      >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]), here)
      0.8333333333333333
    """
    return binary.average_precision(scores[counted], right[counted])


def pointing(
    scores: Float[np.ndarray, " T"], right: Bool[np.ndarray, " T"], counted: Bool[np.ndarray, " T"]
) -> float:
    """Returns 1 if the token of the highest score is right; of several, the share that is.

    Example:
      >>> pointing(np.array([2.0, 2.0, 1.0]), np.array([True, False, True]), np.ones(3, bool))
      0.5
    """
    scores, right = scores[counted], right[counted]
    return float(right[scores == scores.max()].mean()) if right.any() else math.nan


OF_SCORES: dict[str, Callable[..., float]] = {"auprc": average_precision, "pointing_game": pointing}
"""The metrics that compare scores with a rationale."""


def _falls(curve: Curve, counts: Counts) -> Float[np.ndarray, "*M B"]:
    # Rounding must not make a share of 10% of 70 tokens 8 of them.
    first = [np.ceil(share * counts - 1e-9).astype(int) for share in SHARES]
    rows = np.arange(len(counts))
    return np.mean([curve[..., 0] - curve[..., rows, k] for k in first], axis=0)


def _area(curve: Curve, counts: Counts) -> Float[np.ndarray, "*M B"]:
    middles = (curve[..., 1:] + curve[..., :-1]) / 2
    inside = np.arange(middles.shape[-1]) < counts[:, None]
    return np.where(inside, middles, 0).sum(-1) / counts


def _row(name: str, of: Any, better: Any, paper: str | None, what: str) -> tuple[str, Metric]:
    return name, Metric(name, what, paper, better, of)


METRICS: dict[str, Metric] = dict(
    (
        _row("comprehensiveness", "order", "higher", "1911.03429", "mean fall without the first 1 … 50%"),
        _row("sufficiency", "order", "lower", "1911.03429", "mean fall with only the first 1 … 50%"),
        _row("deletion_auc", "order", "lower", "1806.07421", "area while the first are removed"),
        _row("insertion_auc", "order", "higher", "1806.07421", "area while the first are put back"),
        _row("aopc", "order", "higher", "1509.06321", "mean fall without the first k, k = 1 … n"),
        _row("naopc", "order", "higher", "2408.08137", "AOPC between the model's worst and best order"),
        _row("sign_test", "order", "lower", None, "p that a random order has as high an AOPC as often"),
        _row("auprc", "scores", "higher", "1911.03429", "average precision beside the rationale"),
        _row("pointing_game", "scores", "higher", "1608.00507", "is the top token in the rationale"),
        _row("max_sensitivity", "method", "lower", "1901.09392", "largest change of scores under noise"),
        _row("model_randomisation", "method", "lower", "1810.03292", "rank correlation after a shuffle"),
        _row("seed_variance", "method", "lower", "1908.04626", "divergence of the maps of other seeds"),
        _row("attention_permutation", "model", "higher", "1902.10186", "change by permuted weights"),
        _row("adversarial_attention", "model", "lower", "1902.10186", "divergence at equal output"),
        _row("uniform_attention", "model", "higher", "1908.04626", "change by even weights"),
    )
)
"""The metrics by their name."""
