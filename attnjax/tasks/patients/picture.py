"""A picture of persons: courses with the weights of their events, and the calibration of models."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnjax.data.series.cohort import Cohort
from attnjax.tasks.metrics.binary import groups_of

LARGEST_PT2 = 220.0
"""Area of the mark of the event with the greatest weight."""


def patients_figure(
    cohort: Cohort,
    shares: Float[np.ndarray, " n"],
    drawn: Mapping[str, Float[np.ndarray, " n"]],
    weights: Float[np.ndarray, "n T"] | None,
) -> Figure:
    """Returns the courses of two persons of the positive label beside the calibration of models.

    One is that of the highest probability, the other that of the median.

    Args:
      cohort: the persons of the test.
      shares: the probabilities of the model.
      drawn: the probabilities whose calibration is drawn, by name.
      weights: of the events; None: all marks are alike.
    """
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    positive = np.flatnonzero(cohort.labels == 1)
    order = positive[np.argsort(-shares[positive], kind="stable")]
    for axis, row in zip(axes, (order[0], order[len(order) // 2]), strict=False):
        _course(axis, cohort, int(row), None if weights is None else weights[row])
        axis.set_title(_title(cohort, row, shares[row]), fontsize=10)
    right = cohort.labels == 1
    for name, own in drawn.items():
        points = [(own[group].mean(), right[group].mean()) for group in groups_of(own)]
        axes[2].plot(*np.array(points).T, "o-", ms=3, lw=1, label=name)
    axes[2].plot((0, 1), (0, 1), color="0.6", lw=1, ls=":")
    axes[2].set_xlabel("probability, mean of a tenth of the test persons")
    axes[2].set_ylabel("frequency")
    axes[2].legend(fontsize=8)
    return figure


def _title(cohort: Cohort, row: int, share: float) -> str:
    drift = "" if cohort.truth is None else f"; {cohort.names[int(cohort.truth.signs[row])]} drifts (dashed)"
    return f"label {int(cohort.labels[row])}, probability {share:.2f}{drift}"


def _course(axis: Axes, cohort: Cohort, row: int, weights: np.ndarray | None) -> None:
    for code in range(len(cohort.names)):
        own = (cohort.signs[row] == code) & ~np.isnan(cohort.values[row])
        if not own.any():
            continue
        spread = cohort.values[cohort.signs == code]
        # Signs have units of their own: each is drawn in its standard deviations, at a height of its own.
        values = (cohort.values[row][own] - np.nanmean(spread)) / (np.nanstd(spread) or 1)
        times = cohort.times[row][own]
        axis.plot(times, values - 5 * code, "-", lw=0.8, color=f"C{code}", alpha=0.6)
        size = 12.0 if weights is None else LARGEST_PT2 * weights[own] / weights.max()
        axis.scatter(times, values - 5 * code, s=size, color=f"C{code}", alpha=0.8)
    if cohort.truth is not None:
        axis.axvline(cohort.truth.onsets[row], color="0.3", ls="--", lw=1)
    axis.set_xlabel("time before the landmark")
    axis.set_yticks([-5 * code for code in range(len(cohort.names))], cohort.names)
