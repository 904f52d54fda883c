"""The figures of a report, each as the bytes of a PNG."""

import io
import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnjax.experiment.report.table import Findings, Setting

DPI = 160
LINES = 6
GREY = "0.35"


def heatmap(found: Findings, rows: str, columns: str) -> bytes:
    """The mean measure for each pair of values of two fields, over all the others and the seeds."""
    ys, xs = found.axes[rows], found.axes[columns]
    figure, axes = _figure(1.6 + 1.15 * len(xs), 1.2 + 0.62 * len(ys))
    cells = [[_values(found, {rows: y, columns: x}) for x in xs] for y in ys]
    means = [[statistics.fmean(cell) if cell else float("nan") for cell in row] for row in cells]
    cmap = "viridis" if found.mode == "max" else "viridis_r"
    image: Any = axes.imshow(means, cmap=cmap, aspect="auto")
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            shade = float(image.norm(means[i][j])) if cell else 0.0
            dark = shade < 0.6 if found.mode == "max" else shade > 0.4
            axes.text(j, i, _cell(cell), ha="center", va="center", fontsize=8, color="w" if dark else "k")
    axes.set_xticks(range(len(xs)), [_tick(x) for x in xs])
    axes.set_yticks(range(len(ys)), [_tick(y) for y in ys])
    axes.set(xlabel=columns, ylabel=rows)
    axes.set_title(f"{found.measure} (mean ± sd, n)", fontsize=9, loc="left", color=GREY)
    axes.tick_params(length=0)
    return _png(figure)


def curves(found: Findings, x: str, lines: str | None) -> bytes:
    """The measure against a field, a line for each value of another one, with ± sd."""
    figure, axes = _figure(5.6, 3.5)
    chosen: list[Any] = found.axes[lines] if lines else [None]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in found.axes[x])
    xs: list[Any] = found.axes[x] if numbers else list(range(len(found.axes[x])))
    for i, value in enumerate(chosen):
        points = [_values(found, {x: at} | ({lines: value} if lines else {})) for at in found.axes[x]]
        kept = [(at, p) for at, p in zip(xs, points, strict=True) if p]
        mean = [statistics.fmean(p) for _, p in kept]
        sd = [statistics.stdev(p) if len(p) > 1 else 0.0 for _, p in kept]
        colour = _colours(len(chosen))[i]
        label = f"{lines} = {_tick(value)}" if lines else None
        places = [at for at, _ in kept]
        axes.plot(
            places, mean, "o-" if numbers else "o", color=colour, label=label, linewidth=1.6, markersize=4
        )
        band = (
            [m - s for m, s in zip(mean, sd, strict=True)],
            [m + s for m, s in zip(mean, sd, strict=True)],
        )
        axes.fill_between(places, *band, color=colour, alpha=0.15, linewidth=0)
    if numbers and min(xs) > 0 and max(xs) / min(xs) >= 100:
        axes.set_xscale("log")
    if not numbers:
        axes.set_xticks(list(xs), [_tick(v) for v in found.axes[x]])
    axes.set(xlabel=x, ylabel=found.measure)
    axes.set_title("mean ± sd over seeds and all other fields", fontsize=9, loc="left", color=GREY)
    if lines:
        axes.legend(fontsize=8, frameon=False)
    return _png(figure)


def scatter(found: Findings, names: Sequence[str]) -> bytes:
    """The measure of every setting against each field, for designs that are no grid."""
    figure = Figure(figsize=(3.2 * len(names), 3.0), dpi=DPI, layout="constrained")
    panels: Any = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        points = [
            (s.changes[name], s.mean) for s in found.settings if s.mean is not None and name in s.changes
        ]
        numbers = all(isinstance(x, int | float) for x, _ in points)
        panel.plot([x if numbers else str(x) for x, _ in points], [y for _, y in points], "o", markersize=4)
        if (
            numbers
            and min(x for x, _ in points) > 0
            and max(x for x, _ in points) / min(p[0] for p in points) >= 100
        ):
            panel.set_xscale("log")
        panel.set(xlabel=name, ylabel=found.measure)
        _plain(panel)
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
    return _png(figure)


def training(found: Findings, monitor: str) -> bytes | None:
    """The validations of every trial by step, the best setting's in colour; None without any."""
    figure, axes = _figure(5.6, 3.3)
    drawn = 0
    for trial in found.trials:
        points = trial.validations(monitor)
        own = {name: value for name, value in trial.changes.items() if name != "seed"}
        best = own == found.best.changes
        style: dict[str, Any] = (
            {"color": "#c8501e", "linewidth": 1.8, "zorder": 3}
            if best
            else {"color": "0.7", "linewidth": 0.7}
        )
        if points:
            axes.plot(*zip(*points.items(), strict=True), **style)
            drawn += 1
    if not drawn:
        return None
    axes.set(xlabel="step", ylabel=f"validation {monitor}")
    axes.set_title(f"{drawn} trials; the best setting in colour", fontsize=9, loc="left", color=GREY)
    return _png(figure)


def _values(found: Findings, at: dict[str, Any]) -> list[float]:
    def fits(setting: Setting) -> bool:
        return all(setting.changes.get(name) == value for name, value in at.items())

    return [value for setting in found.settings if fits(setting) for value in setting.values]


def _cell(values: list[float]) -> str:
    if not values:
        return "—"
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4g}{spread}\nn={len(values)}"


def _tick(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["viridis"](0.9 * i / max(1, count - 1)) for i in range(count)]


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
