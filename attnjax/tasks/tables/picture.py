"""A picture of tables: whether probabilities are frequencies, and which columns count."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float
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
    for name, own in shares.items():
        points = [(own[group].mean(), right[group].mean()) for group in groups_of(own)]
        axes[0].plot(*np.array(points).T, "o-", ms=3, lw=1, label=name)
    axes[0].plot((0, 1), (0, 1), color="0.6", lw=1, ls=":")
    axes[0].set_xlabel("probability, mean of a tenth of the test persons")
    axes[0].set_ylabel("frequency")
    axes[0].legend(fontsize=8)
    if importance:
        top = sorted(importance.items(), key=lambda pair: pair[1])[-COLUMNS:]
        axes[1].barh([name for name, _ in top], [value for _, value in top], color="C0")
        axes[1].set_xlabel("mean |integrated gradients|, from all missing")
        axes[1].tick_params(axis="y", labelsize=8)
    return figure
