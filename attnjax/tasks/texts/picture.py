"""A picture of labelled texts: whether probabilities are frequencies, and what words count for."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnjax.tasks.tables.picture import draw_calibration

LINE = 46
"""Letters of a line of text."""
HEIGHT = 0.2
"""Inches of a line."""


def text_figure(
    shares: Mapping[str, Float[np.ndarray, "n L"]],
    labels: Int[np.ndarray, " n"],
    drawn: Sequence[Sequence[tuple[str, float]]],
) -> Figure:
    """Returns the frequency of right labels over the probability of the likeliest, beside coloured texts.

    Args:
      shares: the probabilities of each model.
      labels: the right ones.
      drawn: of each text its words, and what each counts: red for the label given, blue against it. Without
        any, there is the frequency alone.
    """
    figure = Figure(figsize=(10 if drawn else 5, 4), layout="constrained")
    axes = figure.subplots(1, 2 if drawn else 1, squeeze=False)[0]
    likeliest = {name: (own.max(-1), own.argmax(-1) == labels) for name, own in shares.items()}
    draw_calibration(axes[0], likeliest, "test texts", (1 / next(iter(shares.values())).shape[1], 1.0))
    axes[0].set_ylabel("right labels")
    if drawn:
        _write(axes[1], drawn)
    return figure


def _write(axes: Axes, drawn: Sequence[Sequence[tuple[str, float]]]) -> None:
    """Writes the texts in lines, each word on the colour of its score, the greatest of a text full."""
    axes.set_axis_off()
    colours, row = colormaps["coolwarm"], 0.0
    for text in drawn:
        most = max(abs(score) for _, score in text) or 1.0
        place = 0
        for word, score in text:
            if place and place + len(word) > LINE:
                row, place = row + 1, 0
            axes.text(
                place,
                -row,
                word,
                family="monospace",
                fontsize=9,
                bbox={"facecolor": colours(0.5 + 0.5 * score / most), "alpha": 0.6, "lw": 0, "pad": 1.5},
            )
            place += len(word) + 1
        row += 2
    axes.set_xlim(0, LINE)
    axes.set_ylim(-max(row, 16), 1)
