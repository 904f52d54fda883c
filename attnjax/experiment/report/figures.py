"""The figures of a report, each as the bytes of a PNG."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnjax.experiment.report.importance import numeric
from attnjax.experiment.report.table import SEED, Findings, Pooled, counted, pooled, rests_on

DPI = 160
LINES = 10
MARKERS = "osD^vPX*<>"
GREY = "0.35"
POOLED = "mean over the other fields ± sd over seeds"


def heatmap(found: Findings, rows: str, columns: str) -> bytes:
    """The mean measure for each pair of values of two fields, over all the others and the seeds."""
    ys, xs = found.axes[rows], found.axes[columns]
    cells = [[pooled(found, {rows: y, columns: x}) for x in xs] for y in ys]
    return _coloured(cells, found.mode, found.measure, (rows, ys), (columns, xs))


def parts(found: Findings, of_parts: Mapping[str, Findings], rows: str, column: str) -> bytes:
    """One column of the evaluation table: a field's values downwards, the table's rows across.

    `of_parts`: what was found by each row of the table.
    """
    ys = found.axes[rows]
    cells = [[pooled(of_part, {rows: y}) for of_part in of_parts.values()] for y in ys]
    return _coloured(cells, found.mode, column, (rows, ys), ("", list(of_parts)))


def _coloured(
    cells: Sequence[Sequence[Pooled | None]],
    mode: str,
    measure: str,
    rows: tuple[str, Sequence[Any]],
    columns: tuple[str, Sequence[Any]],
) -> bytes:
    """Cells coloured by their means, each with its numbers; rows and columns have a name and values."""
    (ylabel, ys), (xlabel, xs) = rows, columns
    figure, axes = _figure(1.6 + 1.15 * len(xs), 1.2 + 0.62 * len(ys))
    means = [[cell.mean if cell else float("nan") for cell in row] for row in cells]
    cmap = "viridis" if mode == "max" else "viridis_r"
    image: Any = axes.imshow(means, cmap=cmap, aspect="auto")
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            shade = float(image.norm(means[i][j])) if cell else 0.0
            dark = shade < 0.6 if mode == "max" else shade > 0.4
            axes.text(j, i, _cell(cell), ha="center", va="center", fontsize=8, color="w" if dark else "k")
    axes.set_xticks(range(len(xs)), [_tick(x) for x in xs])
    axes.set_yticks(range(len(ys)), [_tick(y) for y in ys])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(f"{measure}\n{POOLED}, n trials", fontsize=8, loc="left", color=GREY)
    axes.tick_params(length=0)
    return _png(figure)


def curves(found: Findings, x: str, lines: str | None) -> bytes:
    """The measure against a field, a line for each value of another one, with ± sd over seeds."""
    figure, axes = _figure(5.6, 3.5)
    chosen: list[Any] = found.axes[lines] if lines else [None]
    numbers = numeric(found.axes[x])
    xs: list[Any] = found.axes[x] if numbers else list(range(len(found.axes[x])))
    for i, value in enumerate(chosen):
        points = [pooled(found, {x: at} | ({lines: value} if lines else {})) for at in found.axes[x]]
        kept = [(at, p) for at, p in zip(xs, points, strict=True) if p]
        colour, marker = _colours(chosen)[i], MARKERS[i]
        places = [at for at, _ in kept]
        style = f"{marker}-" if numbers else marker
        label = _tick(value) if lines else None
        spread = [p.sd or 0.0 for _, p in kept]
        means = [p.mean for _, p in kept]
        axes.errorbar(places, means, spread, fmt=style, color=colour, label=label, capsize=3, markersize=4)
    drawn = [at for at, value in zip(xs, found.axes[x], strict=True) if pooled(found, {x: value})]
    if numbers and min(drawn) > 0 and max(drawn) / min(drawn) >= 100:
        axes.set_xscale("log")
        axes.minorticks_off()
    if numbers and len(drawn) <= 8:
        axes.set_xticks(drawn, [_tick(value) for value in drawn])
    if not numbers:
        axes.set_xticks(list(xs), [_tick(v) for v in found.axes[x]], rotation=30, ha="right")
    axes.set(xlabel=x, ylabel=found.measure)
    axes.set_title(f"{POOLED}\n{rests_on(found)}", fontsize=8, loc="left", color=GREY)
    if lines:
        figure.legend(title=lines, fontsize=8, title_fontsize=8, frameon=False, loc="outside right upper")
    return _png(figure)


def scatter(found: Findings, names: Sequence[str]) -> bytes:
    """The measure of every setting against each field, for designs that are no grid."""
    figure = Figure(figsize=(3.2 * len(names), 3.0), dpi=DPI, layout="constrained")
    panels: Any = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        points = [(changes[name], mean) for changes, mean in found.means]
        numbers = all(isinstance(x, int | float) for x, _ in points)
        panel.plot([x if numbers else _tick(x) for x, _ in points], [y for _, y in points], "o", markersize=4)
        if (
            numbers
            and min(x for x, _ in points) > 0
            and max(x for x, _ in points) / min(p[0] for p in points) >= 100
        ):
            panel.set_xscale("log")
        panel.set(xlabel=name, ylabel=found.measure)
        _plain(panel)
    figure.suptitle(rests_on(found), fontsize=8, color=GREY)
    return _png(figure)


def importance(found: Findings) -> bytes:
    """Bars: how much of the variance between settings each field explains on its own."""
    rest = max(0.0, 1 - sum(found.importance.values()))
    shares = {**found.importance, "the rest: interactions, noise": rest}
    figure, axes = _figure(5.6, 0.9 + 0.36 * len(shares))
    names = list(shares)[::-1]
    bars = axes.barh(names, [100 * shares[name] for name in names], color="#3b6ea5", height=0.6)
    bars[0].set_color("0.75")
    axes.bar_label(bars, fmt="%.0f %%", fontsize=8, padding=3)
    axes.set_xlim(0, 112)
    axes.set_xlabel("share of the variance between settings, %")
    axes.set_title(rests_on(found), fontsize=8, loc="left", color=GREY)
    return _png(figure)


def training(found: Findings, monitor: str) -> tuple[bytes, str] | None:
    """Every trial by step, the best setting's in colour, and what is drawn; None without rows to draw.

    The validations, or where no trial has two of them the training loss.
    """
    curves = [trial.validations(monitor) for trial in found.trials]
    label = f"validation {monitor}"
    if not any(len(curve) > 1 for curve in curves):
        curves, label = [trial.losses() for trial in found.trials], "training loss"
    figure, axes = _figure(5.6, 3.3)
    for trial, curve in zip(found.trials, curves, strict=True):
        own = {name: value for name, value in trial.changes.items() if name != SEED}
        best: dict[str, Any] = {"color": "#c8501e", "linewidth": 1.8, "markersize": 4, "zorder": 3}
        other: dict[str, Any] = {"color": "0.7", "linewidth": 0.7, "markersize": 3}
        style = best if own == found.best.changes else other
        # A line of one point is not seen: what was pruned after its first validation.
        axes.plot(list(curve), list(curve.values()), marker="o" if len(curve) == 1 else "", **style)
    drawn = sum(bool(curve) for curve in curves)
    if not drawn:
        return None
    axes.set(xlabel="step", ylabel=label)
    trials, seeds = counted(drawn, "trial"), counted(found.seeds, "seed")
    text = f"{trials}, up to {seeds} a setting; the best setting in colour"
    axes.set_title(text, fontsize=8, loc="left", color=GREY)
    return _png(figure), label


def _cell(cell: Pooled | None) -> str:
    if cell is None:
        return "—"
    spread = "" if cell.sd is None else f" ± {cell.sd:.2g}"
    return f"{cell.mean:.4g}{spread}\nn={cell.n}"


def _tick(value: Any) -> str:
    """As a label says it; a dollar would begin a formula."""
    return f"{value:g}" if isinstance(value, float) else str(value).replace("$", r"\$")


def _colours(values: Sequence[Any]) -> list[Any]:
    """Along a scale for numbers, as different as can be for others."""
    from matplotlib import colormaps

    if not numeric(values):
        return [colormaps["tab10"](i) for i in range(len(values))]
    return [colormaps["viridis"](0.9 * i / max(1, len(values) - 1)) for i in range(len(values))]


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
