"""The figures of a report on a sweep."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from attnjax.runs.report.digits import bounds, labels, numeric, with_spread
from attnjax.runs.report.plot_axes import (
    ACCENT,
    DPI,
    GREY,
    colours,
    ends,
    escaped,
    new,
    plain,
    scale,
    spans_much,
    thin,
)
from attnjax.sweeps.report.table import (
    Findings,
    Pooled,
    changes_text,
    counted,
    is_seed,
    pooled,
    rests_on,
    searched_by_log,
)

WIDTH_INCHES = 5.2
"""In inches: a phone shows its text, of 8 points, at about 7 of its pixels."""
MAX_LINES = 10
MAX_NAMED_SETTINGS = 9
"""Of so many settings, and no more, each is named beside its lines."""
OTHER_COLOURS = [f"C{i}" for i in (0, 2, 4, 5, 6, 7, 8, 9)]
MARKERS = "osD^vPX*<>"


def heatmap(found: Findings, rows: str, columns: str) -> Figure:
    """The mean metric for each pair of values of two fields, over all the others and the seeds."""
    ys, xs = found.axes[rows], found.axes[columns]
    cells = [[pooled(found, {rows: y, columns: x}) for x in xs] for y in ys]
    title = f"{found.metric}\n{_means(found, rows, columns)}"
    return _coloured(cells, found.mode, title, (rows, ys), (columns, xs))


def parts(found: Findings, of_parts: Mapping[str, Findings], rows: str, column: str) -> Figure:
    """One column of the evaluation table: a field's values downwards, the table's rows across.

    `of_parts`: what was found by each row of the table.
    """
    ys = found.axes[rows]
    cells = [[pooled(of_part, {rows: y}) for of_part in of_parts.values()] for y in ys]
    title = f"{column}\n{_means(found, rows)}"
    return _coloured(cells, found.mode, title, (rows, ys), ("", list(of_parts)))


def _coloured(
    cells: Sequence[Sequence[Pooled | None]],
    mode: str,
    title: str,
    rows: tuple[str, Sequence[Any]],
    columns: tuple[str, Sequence[Any]],
) -> Figure:
    """Cells coloured by their means, each with its numbers; rows and columns have a name and values."""
    (ylabel, ys), (xlabel, xs) = rows, columns
    counts = {cell.n for row in cells for cell in row if cell}
    texts = [[_cell(cell, len(counts) > 1) for cell in row] for row in cells]
    names = labels(xs)
    wide = 0.07 * max(len(line) for row in texts for text in row for line in text.splitlines()) + 0.2
    slanted = max(map(len, names)) > 14 * wide
    margin = 0.8 + 0.075 * max(map(len, labels(ys)))
    figure, axes = new(max(4.0, margin + wide * len(xs)), 1.25 + 0.4 * len(ys) + 0.4 * slanted)
    means = [[cell.mean if cell else float("nan") for cell in row] for row in cells]
    cmap = "viridis" if mode == "max" else "viridis_r"
    image: Any = axes.imshow(means, cmap=cmap, aspect="auto")
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            shade = float(image.norm(means[i][j])) if cell else 0.0
            dark = shade < 0.6 if mode == "max" else shade > 0.4
            colour = GREY if cell is None else "w" if dark else "k"
            axes.text(j, i, texts[i][j], ha="center", va="center", fontsize=8, color=colour)
    turn: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(xs)), [escaped(name) for name in names], **turn)
    axes.set_yticks(range(len(ys)), [escaped(name) for name in labels(ys)])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    trials = "n trials" if len(counts) > 1 else f"{counted(max(counts), 'trial')} a cell"
    _title(axes, f"{title}\n{trials}")
    axes.tick_params(length=0)
    return figure


def curves(found: Findings, x: str, lines: str | None) -> Figure:
    """The metric against a field, a line for each value of another one, with ± sd over seeds."""
    chosen: list[Any] = found.axes[lines] if lines else [None]
    rows = -(-len(chosen) // 3) if lines else 0
    figure, axes = new(WIDTH_INCHES, 3.3 + 0.2 * rows)
    numbers = numeric(found.axes[x])
    xs: list[Any] = found.axes[x] if numbers else list(range(len(found.axes[x])))
    names = labels(chosen) if lines else [""]
    limits = bounds(found.metric, found.values.values())
    for i, value in enumerate(chosen):
        points = [pooled(found, {x: at} | ({lines: value} if lines else {})) for at in found.axes[x]]
        kept = [(at, p) for at, p in zip(xs, points, strict=True) if p]
        means = [p.mean for _, p in kept]
        bars = axes.errorbar(
            [at for at, _ in kept],
            means,
            ends(means, [p.sd or 0.0 for _, p in kept], limits),
            fmt=f"{MARKERS[i]}-" if numbers else MARKERS[i],
            color=colours(chosen)[i],
            label=escaped(names[i]) if lines else None,
            linewidth=1.2,
            elinewidth=0.9,
            capsize=2,
            markersize=4,
        )
        # Side by side, a few points apart: bars of lines that meet would hide each other.
        aside = ScaledTranslation(3 * (i - (len(chosen) - 1) / 2) / 72, 0, figure.dpi_scale_trans)
        for artist in bars.get_children():
            artist.set_transform(axes.transData + aside)
    drawn = [at for at, value in zip(xs, found.axes[x], strict=True) if pooled(found, {x: value})]
    if numbers:
        scale(axes, "x", drawn, searched_by_log(found, x), each=True)
    else:
        axes.set_xticks(xs, [escaped(name) for name in labels(found.axes[x])], rotation=30, ha="right")
        axes.margins(x=0.1)
    axes.set(xlabel=x, ylabel=_metric(found))
    _title(axes, f"{_means(found, x, *([lines] if lines else []))}\n{rests_on(found)}")
    if lines:
        _legend(figure, columns=3, title=lines)
    thin(figure)
    return figure


def scatter(found: Findings, names: Sequence[str]) -> Figure:
    """The metric of every setting against each field, for designs that are no grid; the best in colour."""
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(WIDTH_INCHES, 0.8 + 2.0 * rows), dpi=DPI, layout="constrained")
    panels: Any = figure.subplots(rows, columns, squeeze=False, sharey=True)
    ys = [mean for _, mean in found.means]
    for i, (panel, name) in enumerate(zip(panels.flat, names, strict=False)):
        xs = [changes[name] for changes, _ in found.means]
        numbers = numeric(xs)
        places = xs if numbers else [found.axes[name].index(x) for x in xs]
        panel.plot(places, ys, "o", markersize=4, color="0.55", label="a setting")
        best = f"the best: {with_spread(found.best.mean or 0.0, found.best.sd)}"
        panel.plot(places[:1], ys[:1], "o", markersize=6, color=ACCENT, label=best)
        plain(panel)
        if numbers:
            scale(panel, "x", xs, searched_by_log(found, name), each=len(set(xs)) < len(xs))
        else:
            texts = [escaped(text) for text in labels(found.axes[name])]
            panel.set_xticks(range(len(texts)), texts, rotation=30, ha="right")
            panel.margins(x=0.15)
        panel.set(xlabel=name, ylabel="" if i % columns else _metric(found))
    scale(panels.flat[0], "y", ys, spans_much(ys), each=False)
    for panel in panels.flat[len(names) :]:
        panel.set_axis_off()
    _legend(figure, columns=2)
    figure.suptitle(rests_on(found), fontsize=8, color=GREY)
    thin(figure)
    return figure


def importance(found: Findings) -> Figure:
    """Bars: how much of the variance between settings each field explains on its own."""
    rest = max(0.0, 1 - sum(found.importance.values()))
    shares = {**found.importance, "the rest: interactions, noise": rest}
    figure, axes = new(WIDTH_INCHES, 0.9 + 0.3 * len(shares))
    names = list(shares)[::-1]
    bars = axes.barh(names, [100 * shares[name] for name in names], color="#3b6ea5", height=0.6)
    bars[0].set_color("0.75")
    axes.bar_label(bars, fmt="%.0f %%", fontsize=8, padding=3)
    axes.set(xlim=(0, 115), xticks=range(0, 101, 25))
    axes.set_xlabel("share of the variance between settings, %")
    _title(axes, rests_on(found))
    return figure


def training(found: Findings, monitor: str) -> tuple[Figure, str] | None:
    """Every trial by step, and what is drawn; None without rows to draw.

    The validations, or where no trial has two of them the training loss. The best setting is in the page's
    accent and named below, each other one too where they are few, else they are grey.
    """
    curves = [trial.validations(monitor) for trial in found.trials]
    label = f"validation {monitor}"
    if not any(len(curve) > 1 for curve in curves):
        curves, label = [trial.losses() for trial in found.trials], "training loss"
    # None stands for what is no finite number.
    curves = [{step: math.nan if y is None else y for step, y in curve.items()} for curve in curves]
    drawn = sum(any(map(math.isfinite, curve.values())) for curve in curves)
    if not drawn:
        return None
    several = len(found.settings) > 1
    few = len(found.settings) <= MAX_NAMED_SETTINGS
    kinds = [setting.changes for setting in (found.settings if few else found.settings[:1])]
    palette = [ACCENT, *OTHER_COLOURS]
    figure, axes = new(WIDTH_INCHES, 3.0 + 0.2 * (len(kinds) + 1) * several)
    best, *others = [textwrap.shorten(changes_text(kind), 70, placeholder=" …") for kind in kinds]
    names = [escaped(f"best: {best}"), *map(escaped, others), "each other setting"]
    for trial, curve in zip(found.trials, curves, strict=True):
        own = {name: value for name, value in trial.changes.items() if not is_seed(name)}
        which = kinds.index(own) if own in kinds else len(kinds)
        named = which < len(kinds)
        # A line of one point is not seen: what was pruned after its first validation.
        axes.plot(
            list(curve),
            list(curve.values()),
            marker="o" if len(curve) == 1 else "",
            color=palette[which] if named else "0.75",
            linewidth=1.8 if which == 0 else 1.0 if named else 0.7,
            markersize=4 if which == 0 else 3,
            zorder=3 if which == 0 else 2,
            label=names[which],
        )
    values = [value for curve in curves for value in curve.values() if math.isfinite(value)]
    scale(axes, "y", values, spans_much(values), each=False)
    axes.locator_params(axis="x", nbins=6)
    axes.set(xlabel="step", ylabel=label)
    trials, seeds = counted(drawn, "trial"), counted(found.seeds, "seed")
    _title(axes, f"{trials}, up to {seeds} a setting; a line is a trial")
    if several:
        _legend(figure, columns=1, order=names)
    thin(figure)
    return figure, label


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, fontsize=8, loc="left", color=GREY)


def _legend(figure: Figure, *, columns: int, title: str | None = None, order: Sequence[str] = ()) -> None:
    """Below the figure, where it takes no width from it; a name that several lines have stands there once."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for artist, name in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(name, artist)
    names = sorted(named, key=order.index) if order else list(named)
    figure.legend(
        [named[name] for name in names],
        names,
        title=title,
        ncols=columns,
        fontsize=8,
        title_fontsize=8,
        frameon=False,
        loc="outside lower center",
    )


def _metric(found: Findings) -> str:
    """As a label beside an axis, which is not long: row and column of the evaluation below each other."""
    return found.metric.replace("/", "\n") if len(found.metric) > 28 else found.metric


def _means(found: Findings, *names: str) -> str:
    """Returns the label of the statistic that a figure shows for each combination of these fields."""
    over = "mean over the other fields" if set(found.axes) - set(names) else "mean"
    return f"{over} ± sd over seeds" if found.seeds > 1 else over


def _cell(cell: Pooled | None, count: bool) -> str:
    if cell is None:
        return "—"
    return with_spread(cell.mean, cell.sd) + f"\nn={cell.n}" * count
