"""Scenes from above, with what a car attends to."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnjax.data.driving.frames import UNIT_M, turned
from attnjax.tasks.base import Arrays

WIDEST_PT = 14.0
"""Of the line to a car with all the weight."""


def scenes_figure(
    arrays: Arrays, places: Float[np.ndarray, "n M F 2"], weights: Float[np.ndarray, "n C"],
    titles: Sequence[str], past: int,
) -> Figure:  # fmt: skip
    """Returns a drawing of scenes: what was seen, what came, and the futures and weights of car 0.

    Args:
      arrays: of `framed`.
      places: of the modes of car 0, in its frame.
      weights: that car 0 gives to each car.
      titles: of the scenes.
      past: times that are seen.
    """
    figure = Figure(figsize=(4.2 * len(titles), 3.8), layout="constrained")
    axes = figure.subplots(1, len(titles), squeeze=False)[0]
    for row, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        own = {name: array[row] for name, array in arrays.items()}
        _draw(axis, own, places[row], weights[row], past)
        axis.set_title(title, fontsize=10)
    axes[0].legend(loc="upper left", fontsize=7, framealpha=0.9)
    return figure


def _draw(
    axis: Axes,
    scene: Mapping[str, np.ndarray],
    places: Float[np.ndarray, "M F 2"],
    weights: np.ndarray,
    past: int,
) -> None:
    cars = np.flatnonzero(scene["present"])
    seen = scene["seen"][:, : 2 * past].reshape(-1, past, 2) * UNIT_M
    now = seen[:, -1]
    headings = np.arctan2(scene["seen"][:, -1], scene["seen"][:, -2])
    for car in cars:
        came = now[car] + turned(scene["future"][car], headings[car])
        axis.plot(*seen[car].T, color="0.45", lw=1.2, label="seen" if car == 0 else None)
        axis.plot(*came.T, color="0.45", lw=1.2, ls=":", label="what came" if car == 0 else None)
        axis.plot(*now[car], "s", ms=7, color="C0" if car == 0 else "0.3")
        if car:
            axis.plot(
                *np.stack([now[0], now[car]]).T, color="C1", lw=WIDEST_PT * weights[car], alpha=0.6, zorder=1
            )
            axis.annotate(
                f"{100 * weights[car]:.0f} %", now[car], (4, 5), textcoords="offset points", fontsize=8
            )
    minded = int(scene["minded"])
    if minded >= 0:
        axis.plot(*now[minded], "o", ms=14, mfc="none", mec="C3", label="the car it minds")
    for mode, own in enumerate(places):
        axis.plot(*own.T, color="C0", lw=1.5, label="futures of car 0" if mode == 0 else None)
    axis.set_aspect("equal")
    axis.set(xlim=(-35, 55), ylim=(-35, 35))
    axis.set_xlabel("metres", fontsize=8)
    axis.tick_params(labelsize=7)
