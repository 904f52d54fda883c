"""The picture of a ranking's metrics: the model beside what needs none."""

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from attnjax.tasks.metrics.ranking import K
from attnjax.tasks.pictures import save

MODEL, OTHERS, BEST = "#5cb3d6", "#b8b8b8", "#e5e5e5"
"""Colours of bars: the model's, those of baselines, and that of the best possible ranking."""


def draw(metrics: Mapping[str, Mapping[str, float]], folder: Path) -> Path:
    """Writes ranking.png, .svg and .pdf into a folder: HR@10 with its standard error, and NDCG@10."""
    figure = Figure(figsize=(7, 0.45 * len(metrics) + 1.1), layout="constrained")
    names = list(metrics)[::-1]
    users = next(iter(metrics.values()))["users"]
    colours = [MODEL if name == "model" else BEST if name == "best possible" else OTHERS for name in names]
    for axes, column in zip(figure.subplots(1, 2, sharey=True), (f"HR@{K}", f"NDCG@{K}"), strict=True):
        values = [metrics[name][column] for name in names]
        errors = [math.sqrt(x * (1 - x) / users) for x in values] if column.startswith("HR") else None
        axes.barh(names, values, color=colours, xerr=errors, ecolor="#444444", capsize=2)
        for place, value in enumerate(values):
            axes.text(0.02 * max(values), place, f"{value:.3f}", va="center", color="black", fontsize=8)
        axes.set_title(f"{column}, all items ranked, {users:,.0f} users", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    file = folder / "ranking.png"
    save(figure, file)
    return file
