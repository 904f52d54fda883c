"""Chooses the figures that make sense for what a sweep varies, and says in a caption what each shows."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from attnjax.runs.report.digits import bounds, numeric
from attnjax.sweeps.report import figures
from attnjax.sweeps.report.importance import full_grid
from attnjax.sweeps.report.table import Findings, drawn_from_a_range, findings
from attnjax.sweeps.store import read_plan

MAX_HEATMAP_VALUES = 12
"""As many values at most has a field that a heat map shows."""
MAX_SCATTER_PANELS = 4


def select(found: Findings, axes: Sequence[str]) -> dict[str, tuple[Figure, str]]:
    """Returns figure and caption by name. `axes`: as in `write_report`."""
    order = list(dict.fromkeys([*axes, *found.importance, *found.axes]))
    drawn: dict[str, tuple[Figure, str]] = {}
    seeds = f"up to {found.seeds} seeds a setting" if found.seeds > 1 else "one seed a setting"
    spread = "; ± is the standard deviation over seeds within a setting" if found.seeds > 1 else ""
    repeated = [name for name in order if _repeated(found, name)]
    if two := _rows_and_columns(found, repeated, axes):
        text = f"Mean of {found.metric} over all other fields and seeds, {seeds}{spread}; n counts trials."
        drawn["heatmap"] = figures.heatmap(found, *two), text
    if len(order) == len(repeated) == 1 and (len(of_parts := _parts(found)) > 1 or _many_names(found)):
        column = found.metric.partition("/")[2]
        text = f"{column} in every row of the evaluation, {seeds}{spread}."
        drawn["parts"] = figures.parts(found, of_parts, order[0], column), text
    if (x := _curves_axis(found, order, axes)) and not _many_names(found):
        crossing = [n for n in repeated if len(found.axes[n]) <= figures.MAX_LINES and _crossed(found, n, x)]
        text = f"{found.metric} against {x}, mean over all other fields and seeds, {seeds}{spread}"
        low, high = bounds(found.metric, found.values.values())
        if spread and math.isfinite(high):
            text += f", cut at {low:g} and {high:g}, between which the metric lies"
        drawn["curves"] = figures.curves(found, x, next(iter(crossing), None)), f"{text}."
    if len(repeated) < len(order):
        text = f"{found.metric} of every setting against each field, {seeds}."
        drawn["scatter"] = figures.scatter(found, order[:MAX_SCATTER_PANELS]), text
    if found.importance and (len(order) > 1 or len(repeated) < len(order)):
        drawn["importance"] = figures.importance(found), _importance_text(found)
    monitor = (read_plan(found.sweep) or {"monitor": [""]})["monitor"][0]
    if training := figures.training(found, monitor):
        figure, label = training
        text = (
            f"The {label} of every trial while it was trained; a line or a point that ends early was pruned "
            "or failed."
        )
        drawn["training"] = figure, text
    return drawn


def _repeated(found: Findings, name: str) -> bool:
    """Returns True if each value of a field was tried with several values of the others.

    It is also True for the only field of a sweep, if its values are names, or few.

    What is drawn from a range has another value in nearly every setting: the mean for each would be that of
    one setting.
    """
    if drawn_from_a_range(found, name):
        return False
    if len(found.axes) == 1:
        return _many_names(found) or len(found.axes[name]) <= MAX_HEATMAP_VALUES
    return len(found.means) >= 2 * len({str(changes[name]) for changes, _ in found.means})


def _many_names(found: Findings) -> bool:
    """Returns True if names alone were varied, too many to stand beside each other below an axis."""
    values = next(iter(found.axes.values()), [])
    return len(found.axes) == 1 and len(values) > MAX_HEATMAP_VALUES and not numeric(values)


def _crossed(found: Findings, one: str, other: str) -> bool:
    """Returns True if at least half of all pairs of values of two different fields were tried."""
    pairs = {(str(changes[one]), str(changes[other])) for changes, _ in found.means}
    counts = [len({pair[i] for pair in pairs}) for i in (0, 1)]
    return one != other and 2 * len(pairs) >= math.prod(counts)


def _rows_and_columns(
    found: Findings, repeated: Sequence[str], axes: Sequence[str]
) -> tuple[str, str] | None:
    """The fields of the heat map, the most important ones that are crossed."""
    small = [name for name in repeated if len(found.axes[name]) <= MAX_HEATMAP_VALUES]
    for i, one in enumerate(small):
        for other in small[i + 1 :]:
            if _crossed(found, one, other):
                # Names are read more easily beside rows, and many columns make a wide picture; the order of
                # `axes` is the user's.
                key = lambda n: (numeric(found.axes[n]), -len(found.axes[n]))  # noqa: E731
                rows, columns = (one, other) if axes else sorted((one, other), key=key)
                return rows, columns
    return None


def _curves_axis(found: Findings, order: Sequence[str], axes: Sequence[str]) -> str | None:
    """The third of the user's `axes`, or their only one; else the most important field.

    Numbers come before names, which make no line. None where that field is drawn from a range, so that there
    is nothing to take a mean of.
    """
    if len(axes) in (0, 2):
        by_importance = list(dict.fromkeys([*found.importance, *order]))
        numbers = [name for name in by_importance if numeric(found.axes[name])]
        chosen = next(iter(numbers or by_importance), None)
    else:
        chosen = axes[2] if len(axes) > 2 else axes[0]
    return chosen if chosen and _repeated(found, chosen) else None


def _importance_text(found: Findings) -> str:
    text = (
        f"What each field explains on its own of the variance between {len(found.means)} settings, "
        "by the means for its values"
    )
    if not full_grid(found.means, found.axes):
        text += (
            " (for 8 numbers or more: for quarters of them), less what as many groups of settings explain by "
            "chance: epsilon squared (Kelley, 1935)"
        )
    return text + "."


def _parts(found: Findings) -> dict[str, Findings]:
    """Returns findings for each row of the evaluation table that has a number in the metric's column."""
    column = found.metric.partition("/")[2]
    table = next(t.result["metrics"] for t in found.trials if t.number in found.values and t.result)
    cells = {row: columns.get(column) for row, columns in table.items()}
    # None stands for what is no finite number.
    rows = [row for row, value in cells.items() if value is not None and math.isfinite(value)]
    return {row: findings(found.sweep, f"{row}/{column}") for row in rows}
