"""The film strip of watched layers: small maps over the checkpoints, and the numbers on their heads below."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from attnjax.runs.report.plot_axes import ACCENT, DPI, plain
from attnjax.train.head_numbers import NUMBERS
from attnjax.train.metrics import MetricsFile

MOST_STEPS, MOST_HEADS = 8, 4
"""Columns and rows of a strip."""


def strips(folder: Path) -> dict[str, Figure]:
    """Returns a figure for each layer that a run watched, by its path; none where it watched none.

    Args:
      folder: "watched" of the run.
    """
    rows = MetricsFile(folder / "metrics.jsonl").rows()
    layers = dict.fromkeys(row["layer"] for row in rows)
    return {layer: _strip(folder, layer, [row for row in rows if row["layer"] == layer]) for layer in layers}


def _strip(folder: Path, layer: str, rows: list[dict[str, Any]]) -> Figure:
    steps = [row["step"] for row in rows]
    chosen = sorted({steps[i] for i in np.linspace(0, len(steps) - 1, MOST_STEPS).round().astype(int)})
    maps = []
    for step in chosen:
        with np.load(folder / f"{step}.npz") as found:
            maps.append(found[layer][0, :MOST_HEADS])
    heads = len(maps[0])
    width = max(len(chosen), len(NUMBERS))
    figure = Figure(figsize=(1.15 * width, 1.2 * heads + 1.3), dpi=DPI, layout="constrained")
    both: Any = figure.subfigures(2, 1, height_ratios=[1.2 * heads, 1.3])
    above, below = both
    panels: Any = above.subplots(heads, len(chosen), squeeze=False)
    for column, (step, of_step) in enumerate(zip(chosen, maps, strict=True)):
        for head, weights in enumerate(of_step):
            panel = panels[head, column]
            panel.imshow(np.abs(weights), cmap="Blues", vmin=0, aspect="auto", interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            if head == 0:
                panel.set_title(f"step {step}", fontsize=8)
            if column == 0:
                panel.set_ylabel(f"head {head}", fontsize=8)
    curves: Any = below.subplots(1, len(NUMBERS), squeeze=False)
    for panel, name in zip(curves[0], NUMBERS, strict=True):
        plain(panel)
        values = [row[name] for row in rows]
        panel.plot(steps, values, color=ACCENT, marker="o", markersize=2.5, linewidth=1)
        panel.set_title(name, fontsize=8)
        panel.tick_params(labelsize=6)
    return figure
