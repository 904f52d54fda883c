"""Bits by the place in a row: how far what stands before a token helps, and where it begins to hurt."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

POINTS = 32
"""Groups of places, each of which is a point of the curve."""


def places_figure(
    bits: Float[np.ndarray, "n T"], baselines: Mapping[str, float], length: int, rate: float
) -> Figure:
    """Returns the curve of bits per byte over the place in rows that are longer than those of training.

    Args:
      bits: of each token of rows.
      baselines: bits per byte by name.
      length: tokens of a row of training.
      rate: tokens of a byte.
    """
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axis = figure.subplots()
    groups = np.array_split(np.arange(bits.shape[1]), min(POINTS, bits.shape[1]))
    means = np.array([bits[:, group].mean(1) for group in groups]) * rate
    middle, error = means.mean(1), means.std(1) / np.sqrt(means.shape[1])
    places = [group.mean() + 1 for group in groups]
    axis.plot(places, middle, "o-", ms=3, label="the model")
    axis.fill_between(places, middle - error, middle + error, alpha=0.2, label="± standard error over rows")
    for number, (name, value) in enumerate(baselines.items()):
        axis.axhline(value, color=f"C{number + 1}", ls="--", lw=1, label=name)
    axis.axvline(length, color="0.5", lw=1)
    axis.annotate("trained length", (length, axis.get_ylim()[1]), (4, -26), textcoords="offset points")
    axis.set_xlabel("place in the row, tokens")
    axis.set_ylabel("bits per byte")
    axis.legend(fontsize=8)
    return figure
