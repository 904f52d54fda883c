"""Writes a report: tables for programs, pictures and a page for people."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnjax.config import InputError
from attnjax.experiment import store
from attnjax.experiment.registry import nearest
from attnjax.experiment.report.importance import full_grid, numeric
from attnjax.experiment.report.table import Findings, counted, findings
from attnjax.experiment.sweep_store import Sweep, read_plan


@dataclass(frozen=True)
class Report:
    """What was found, and the files that say so."""

    found: Findings
    files: list[Path]


def write_report(
    sweep: Sweep, *, axes: Sequence[str] = (), measure: str | None = None, mode: str | None = None
) -> Report:
    """Writes report/ in the sweep's folder: table.csv, trials.csv, trials.parquet, PNGs, report.html.

    `axes`: the fields of the heat map's rows, its columns and of the curves, the most important ones unless
    given. `measure`, `mode`: as in `findings`. Raises InputError for a sweep without a finished trial and for
    an axis that it does not have.
    """
    from attnjax.experiment.report.page import page

    found = findings(sweep, measure, mode)
    for name in axes:
        if name not in found.axes:
            raise InputError(f"--axes: {sweep.name} does not vary {name!r}{nearest(name, found.axes)}")
    folder = sweep.folder / "report"
    store.prepare_folder(folder)
    figures = _figures(found, axes)
    for stale in folder.glob("*.png"):
        stale.unlink()
    files = [_write(folder / f"{name}.png", png) for name, (png, _) in figures.items()]
    settings, trials = _frames(found)
    files += [
        _write(folder / "table.csv", _csv(settings)),
        _write(folder / "trials.csv", _csv(trials)),
        _write(folder / "trials.parquet", _parquet(trials)),
        _write(folder / "report.html", page(found, figures).encode()),
    ]
    return Report(found, files)


def _figures(found: Findings, axes: Sequence[str]) -> dict[str, tuple[bytes, str]]:
    """PNG and caption of each figure that makes sense for the design."""
    from attnjax.experiment.report import figures

    order = list(dict.fromkeys([*axes, *found.importance, *found.axes]))
    drawn: dict[str, tuple[bytes, str]] = {}
    seeds = f"up to {counted(found.seeds, 'seed')} a setting"
    small = [name for name in order if len(found.axes[name]) <= 12]
    if len(small) >= 2:
        text = (
            f"Mean of {found.measure} over all other fields and seeds, {seeds}; ± is the standard deviation "
            "over seeds within a setting, n counts trials."
        )
        # Names are read more easily beside rows; the order of `axes` is the user's.
        rows, columns = small[:2] if axes else sorted(small[:2], key=lambda n: numeric(found.axes[n]))
        drawn["heatmap"] = figures.heatmap(found, rows, columns), text
    if len(order) == len(small) == 1 and len(of_parts := _parts(found)) > 1:
        column = found.measure.partition("/")[2]
        text = f"{column} in every row of the evaluation, {seeds}; ± is the standard deviation over seeds."
        drawn["parts"] = figures.parts(found, of_parts, small[0], column), text
    if small:
        x = small[2] if len(small) > 2 else _last_numeric(small, found)
        lines = next((n for n in small if n != x and len(found.axes[n]) <= figures.LINES), None)
        drawn["curves"] = (
            figures.curves(found, x, lines),
            f"{found.measure} against {x}, mean ± standard deviation over seeds, {seeds}.",
        )
    if len(small) < len(order):
        text = f"{found.measure} of every setting against each field, {seeds}."
        drawn["scatter"] = figures.scatter(found, order[:4]), text
    if found.importance and (len(order) > 1 or len(small) < len(order)):
        drawn["importance"] = figures.importance(found), _importance_text(found)
    monitor = (read_plan(found.sweep) or {"monitor": [""]})["monitor"][0]
    if training := figures.training(found, monitor):
        png, label = training
        text = (
            f"The {label} of every trial while it was trained; a line or a point that ends early was pruned "
            "or failed."
        )
        drawn["training"] = png, text
    return drawn


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


def _last_numeric(names: Sequence[str], found: Findings) -> str:
    """The last field whose values are numbers: they make lines; else the last one."""
    return next((name for name in reversed(names) if numeric(found.axes[name])), names[-1])


def _parts(found: Findings) -> dict[str, Findings]:
    """What was found by each row of the evaluation table that has a number in the measure's column."""
    column = found.measure.partition("/")[2]
    table = next(t.result["metrics"] for t in found.trials if t.number in found.values and t.result)
    rows = [row for row, cells in table.items() if math.isfinite(cells.get(column, math.nan))]
    return {row: findings(found.sweep, f"{row}/{column}") for row in rows}


def _frames(found: Findings) -> tuple[Any, Any]:
    """The settings and the trials as data frames."""
    import polars

    settings = [
        {
            **{name: setting.changes.get(name) for name in found.axes},
            "mean": setting.mean,
            "sd": setting.sd,
            "n": len(setting.values),
            "failed": setting.failed,
            "pruned": setting.pruned,
        }
        for setting in found.settings
    ]
    trials = []
    for trial in found.trials:
        result = trial.result or {}
        cells = {f"{r}/{c}": v for r, row in result.get("metrics", {}).items() for c, v in row.items()}
        row = {"number": trial.number, **trial.changes, "status": trial.status, "step": result.get("step")}
        row |= {"measure": found.values.get(trial.number), "reason": result.get("reason")}
        trials.append({**row, "params_hash": result.get("params_hash"), **cells})
    frames = [polars.from_dicts(rows, infer_schema_length=None) for rows in (settings, trials)]
    return frames[0], frames[1]


def _csv(frame: Any) -> bytes:
    """CSV has no lists: those of a field that holds a tuple are written as JSON."""
    import polars

    text = [
        polars.Series(column.name, [None if row is None else json.dumps(row) for row in column.to_list()])
        for column in frame
        if column.dtype.is_nested()
    ]
    csv: str = frame.with_columns(text).write_csv()
    return csv.encode()


def _parquet(frame: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    os.replace(temporary, path)
    return path
