"""The figure of a report card: quality beside time, memory and what decoding holds."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from attnjax.runs.report.plot_axes import ACCENT, DPI, GREY, ends, escaped, plain, scale, thin
from attnjax.sweeps.report.card import LABELS, LONGER, TRAINED, MeasuredCost, Row, spread

WIDTH_INCHES = 9.5
ROW_INCHES = 0.17
_KINDS: dict[str, dict[str, Any]] = {
    TRAINED: {"color": ACCENT, "fmt": "o", "markersize": 4},
    LONGER: {"color": GREY, "fmt": "o", "markersize": 4, "markerfacecolor": "white"},
}


def card_figure(rows: Sequence[Row], caption: str) -> Figure:
    """Returns a figure with a line for each mechanism and four panels, or one where no cost was measured.

    They show the mean over sources of what is answered right, with ± sd over seeds, as trained and for
    sequences that are twice as long; the time per token of a training step, with the extremes over rounds;
    the memory of such a step; and how many numbers decoding holds.

    Args:
      rows: from top to bottom.
      caption: stands above.
    """
    height = 1.1 + ROW_INCHES * len(rows)
    rows = rows[::-1]  # The last one is drawn at the bottom, where 0 is.
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DPI, layout="constrained")
    measured = [(place, row.cost) for place, row in enumerate(rows) if row.cost]
    shares = [2, 1, 1, 1] if measured else [1]
    panels: Any = figure.subplots(1, len(shares), sharey=True, width_ratios=shares, squeeze=False)[0]
    for panel in panels:
        plain(panel)
        panel.grid(axis="y", color="0.9", linewidth=0.6)
        panel.set_axisbelow(True)
    _quality(panels[0], rows)
    if measured:
        _costs(panels[1:], measured)
    names = [escaped(row.mechanism) for row in rows]
    panels[0].set_yticks(range(len(rows)), names, fontsize=7)
    panels[0].set_ylim(-0.5, len(rows) - 0.5)
    figure.suptitle(caption, fontsize=8, color=GREY)
    figure.legend(fontsize=8, frameon=False, ncols=2, loc="outside lower left")
    thin(figure)
    return figure


def _quality(panel: Any, rows: Sequence[Row]) -> None:
    for kind, label in LABELS.items():
        found = [(place, *spread(row.overall(kind))) for place, row in enumerate(rows) if row.overall(kind)]
        means = [mean for _, mean, _ in found]
        bars = ends(means, [sd or 0.0 for *_, sd in found], (0.0, 100.0))
        places = [place for place, *_ in found]
        panel.errorbar(means, places, xerr=bars, label=label, elinewidth=0.9, capsize=2, **_KINDS[kind])
    panel.set_xlim(0, 100)
    panel.set_xlabel("answers %, mean of all sources ± sd over seeds")


def _costs(panels: Sequence[Any], measured: Sequence[tuple[int, MeasuredCost]]) -> None:
    times = []
    for place, cost in measured:
        middle, least, most = cost.seconds_per_token
        times.append((place, 1e6 * middle, 1e6 * least, 1e6 * most))
    _numbers(panels[0], "µs a token, training", times)
    steps = [(place, cost.bytes_of_step / 2**20) for place, cost in measured]
    _numbers(panels[1], "MiB, a step of training", [(place, x, x, x) for place, x in steps])
    held = [(place, cost.held) for place, cost in measured if cost.held is not None]
    _numbers(panels[2], "numbers held, decoding", [(place, x, x, x) for place, x in held])


def _numbers(panel: Any, label: str, found: Sequence[tuple[int, float, float, float]]) -> None:
    """Draws middle, least and greatest at each place."""
    panel.set_xlabel(label)
    if not found:
        return
    middles = [middle for _, middle, _, _ in found]
    down = [middle - least for _, middle, least, _ in found]
    up = [most - middle for _, middle, _, most in found]
    places = [place for place, *_ in found]
    panel.errorbar(
        middles, places, xerr=[down, up], fmt="o", markersize=4, color=GREY, elinewidth=0.9, capsize=2
    )
    ends_of_bars = [x for _, _, least, most in found for x in (least, most)]
    scale(panel, "x", ends_of_bars, max(ends_of_bars) > 3 * min(ends_of_bars), each=False)
