"""Molecules drawn with their atoms coloured."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from attnjax.data.molecules.chemistry import places_of
from attnjax.data.molecules.molecule import Molecule

COLOURS = "RdBu"
"""Red lowers the number, blue raises it."""
COLUMNS = 3
"""Molecules of a row."""
MARGIN = 0.9
"""Round the atoms of a drawing, where a bond is 1.5 long."""
_LINES = {"single": (0.0,), "double": (-0.09, 0.09), "triple": (-0.16, 0.0, 0.16), "aromatic": (-0.09, 0.09)}
"""Distances of the lines of a bond from its middle, as a share of its length."""


def molecules_figure(
    molecules: Sequence[Molecule], scores: Sequence[Sequence[float]], titles: Sequence[str]
) -> Figure:
    """Returns a drawing of molecules whose atoms are coloured by their scores, on one scale.

    Args:
      molecules: as `molecule_of` gives them.
      scores: of the atoms of each.
      titles: of the molecules.
    """
    columns = min(COLUMNS, len(molecules))
    rows = -(-len(molecules) // columns)
    figure = Figure(figsize=(3.8 * columns + 0.8, 3.5 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    most = max(float(np.abs(own).max()) for own in scores) or 1.0
    colours = ScalarMappable(Normalize(-most, most), COLOURS)
    for axis, molecule, own, title in zip(axes, molecules, scores, titles, strict=False):
        _draw(axis, molecule, places_of(molecule), colours.to_rgba(np.asarray(own)))
        axis.set_title(title, fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    figure.colorbar(colours, ax=list(axes), label="lost without the atom", shrink=0.7)
    return figure


def _draw(
    axis: Axes, molecule: Molecule, places: Float[np.ndarray, "V 2"], colours: Float[np.ndarray, "V 4"]
) -> None:
    for a, b, order, _ in molecule.bonds:
        along = places[b] - places[a]
        across = np.array([-along[1], along[0]])
        for number, offset in enumerate(_LINES[order]):
            line = np.stack([places[a], places[b]]) + offset * across
            dashed = order == "aromatic" and number == 1
            axis.plot(*line.T, color="0.45", lw=1.4, ls=(0, (2, 1.5)) if dashed else "-", zorder=1)
    axis.scatter(places[:, 0], places[:, 1], s=260, c=colours, edgecolors="0.45", linewidths=0.8, zorder=2)
    for place, symbol, charge, colour in zip(
        places, molecule.symbols, molecule.charges or [0] * len(molecule), colours, strict=True
    ):
        sign = "" if not charge else f"{abs(charge) if abs(charge) > 1 else ''}{'+' if charge > 0 else '-'}"
        dark = colour[:3].mean() < 0.5
        axis.annotate(
            f"{symbol}{sign}", place, ha="center", va="center", fontsize=9, color="white" if dark else "black"
        )
    axis.set_aspect("equal")
    low, high = places.min(0) - MARGIN, places.max(0) + MARGIN
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
