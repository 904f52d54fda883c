"""The figure of a report card that has every source: who answers what."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from attnjax.runs.report.plot_axes import GREY, escaped, new
from attnjax.sweeps.report.card import LABELS, Row, spread

CELL_INCHES = 0.27, 0.17
LEAST_INCHES = 4.5
"""So wide is the caption."""
_DARK = 60
"""Cells of fewer % are dark: their text is white."""


def sources_figure(rows: Sequence[Row], caption: str) -> Figure:
    """Returns a figure with a line for each mechanism and two columns for each source.

    They hold the mean over seeds of what is answered right in %, as trained and, beside it, for sequences
    that are twice as long. The colours mean the same on all sources; what has no score is empty.

    Args:
      rows: from top to bottom.
      caption: stands above.
    """
    sources = list(rows[0].cells)
    width, height = CELL_INCHES
    wide = max(LEAST_INCHES, 2.0 + width * len(LABELS) * len(sources))
    figure, axes = new(wide, 1.3 + height * len(rows))
    means = [
        [
            spread(scores)[0] if (scores := row.cells[source].scores[kind]) else float("nan")
            for source in sources
            for kind in LABELS
        ]
        for row in rows
    ]
    axes.imshow(means, vmin=0, vmax=100, cmap="viridis", aspect="auto")
    for place, line in enumerate(means):
        for column, mean in enumerate(line):
            if math.isfinite(mean):
                colour = "w" if mean < _DARK else "k"
                axes.text(column, place, f"{mean:.0f}", ha="center", va="center", fontsize=6, color=colour)
    for source in range(1, len(sources)):
        axes.axvline(len(LABELS) * source - 0.5, color="w", linewidth=4)
    middles = [len(LABELS) * (source + 0.5) - 0.5 for source in range(len(sources))]
    axes.set_xticks(middles, [escaped(source) for source in sources], rotation=30, ha="left")
    axes.set_yticks(range(len(rows)), [escaped(row.mechanism) for row in rows])
    axes.tick_params(labelsize=7, length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    what = f"answers %, mean over seeds: {' | '.join(LABELS.values())}"
    figure.suptitle(f"{caption}\n{what}", fontsize=8, color=GREY)
    return figure
