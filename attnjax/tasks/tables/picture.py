"""A picture of tables: whether probabilities are frequencies, and which columns count."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnjax.tasks.metrics.binary import groups_of

COLUMNS = 15
"""Of the greatest importance, that are drawn."""


def table_figure(
    shares: Mapping[str, Float[np.ndarray, " n"]],
    right: Bool[np.ndarray, " n"],
    importance: Mapping[str, float],
) -> Figure:
    """Returns the frequency of the label over its probability, by model, beside the importance of columns.

    Args:
      shares: the probabilities of each model.
      right: True where it is the label.
      importance: of columns; empty: it is not drawn.
    """
    figure = Figure(figsize=(10 if importance else 5, 4), layout="constrained")
    axes = figure.subplots(1, 2 if importance else 1, squeeze=False)[0]
    draw_calibration(axes[0], {name: (own, right) for name, own in shares.items()}, "test persons")
    if importance:
        top = sorted(importance.items(), key=lambda pair: pair[1])[-COLUMNS:]
        axes[1].barh([name for name, _ in top], [value for _, value in top], color="C0")
        axes[1].set_xlabel("mean |integrated gradients|, from all missing")
        axes[1].tick_params(axis="y", labelsize=8)
    return figure


def draw_calibration(
    axes: Axes,
    shares: Mapping[str, tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]],
    what: str,
    ends: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Draws the frequency of what was foretold over its probability, by tenths.

    Args:
      axes: are drawn into.
      shares: of each model the probabilities, and whether it came so.
      what: they are of.
      ends: of the diagonal.
    """
    for name, (own, right) in shares.items():
        points = [(own[group].mean(), right[group].mean()) for group in groups_of(own)]
        axes.plot(*np.array(points).T, "o-", ms=3, lw=1, label=name)
    axes.plot(ends, ends, color="0.6", lw=1, ls=":")
    axes.set_xlabel(f"probability, mean of a tenth of the {what}")
    axes.set_ylabel("frequency")
    axes.legend(fontsize=8)
