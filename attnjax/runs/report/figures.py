"""The curves of one run."""

from typing import Any

from matplotlib.figure import Figure

from attnjax.runs.report.plot_axes import ACCENT, DPI, GREY, plain
from attnjax.train.metrics import Row

NOT_DRAWN = ("step", "split", "loss", "gap")


def training(rows: list[Row]) -> Figure:
    """The loss of training and of validation by step and, below, each other value of the validations."""
    validated = [row for row in rows if row["split"] == "validation"]
    names = list(dict.fromkeys(name for row in validated for name in row if name not in NOT_DRAWN))
    figure = Figure(figsize=(5.2, 2.6 + 1.6 * len(names)), dpi=DPI, layout="constrained")
    heights = [2.6, *[1.6] * len(names)]
    panels: Any = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for panel in panels:
        plain(panel)
    losses = panels[0]
    _draw(losses, [row for row in rows if row["split"] == "train"], "loss", "training", GREY, "")
    _draw(losses, validated, "loss", "validation, without dropout", ACCENT, "o")
    losses.set(ylabel="loss")
    if len(losses.lines) > 1:
        losses.legend(fontsize=8, frameon=False)
    for panel, name in zip(panels[1:], names, strict=True):
        _draw(panel, validated, name, name, ACCENT, "o")
        panel.set(ylabel=f"validation\n{name.replace('_', ' ')}")
    panels[-1].set(xlabel="step")
    panels[-1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    return figure


def _draw(panel: Any, rows: list[Row], name: str, label: str, colour: str, marker: str) -> None:
    points = [(row["step"], row[name]) for row in rows if name in row]
    if points:
        steps, values = zip(*points, strict=True)
        marker = marker or ("o" if len(points) == 1 else "")  # A line of one point is not seen.
        panel.plot(steps, values, color=colour, marker=marker, markersize=3.5, linewidth=1.3, label=label)
