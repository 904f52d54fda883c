"""Writes a report: tables for programs, pictures and a page for people."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnjax.config import InputError
from attnjax.experiment.registry import nearest
from attnjax.runs import store
from attnjax.sweeps.report.table import Findings, findings, heads_in
from attnjax.sweeps.store import Sweep
from attnjax.train.head_numbers import mean_of_layers


@dataclass(frozen=True)
class SweepReport:
    """The findings of a sweep, and the files that were written."""

    found: Findings
    files: list[Path]


def write_report(
    sweep: Sweep, *, axes: Sequence[str] = (), metric: str | None = None, mode: str | None = None
) -> SweepReport:
    """Writes report/ in the sweep's folder: tables, each figure as PNG, SVG and PDF, and report.html.

    The tables are table.csv, trials.csv and trials.parquet.

    `axes`: the fields of the heat map's rows, its columns and of the curves, the most important ones unless
    given. `metric`, `mode`: as in `findings`. Raises InputError for a sweep without a finished trial and for
    an axis that it does not have.
    """
    from attnjax.sweeps.report.page import page
    from attnjax.sweeps.report.selection import select
    from attnjax.tasks.pictures import FORMATS, encoded

    found = findings(sweep, metric, mode)
    for name in axes:
        if name not in found.axes:
            raise InputError(f"--axes: {sweep.name} does not vary {name!r}{nearest(name, found.axes)}")
    folder = sweep.folder / "report"
    store.prepare_folder(folder)
    figures = select(found, axes)
    for stale in [file for format in FORMATS for file in folder.glob(f"*.{format}")]:
        stale.unlink()
    files = [
        _write(folder / f"{name}.{format}", encoded(figure, format))
        for name, (figure, _) in figures.items()
        for format in FORMATS
    ]
    pictures = {
        name: ((folder / f"{name}.png").read_bytes(), caption) for name, (_, caption) in figures.items()
    }
    settings, trials = frames(found)
    files += [
        _write(folder / "table.csv", _csv(settings)),
        _write(folder / "trials.csv", _csv(trials)),
        _write(folder / "trials.parquet", _parquet(trials)),
        _write(folder / "report.html", page(found, pictures).encode()),
    ]
    return SweepReport(found, files)


def frames(found: Findings) -> tuple[Any, Any]:
    """Returns the settings and the trials as data frames of polars."""
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
        row |= {"metric": found.values.get(trial.number), "reason": result.get("reason")}
        cells |= {f"heads/{name}": x for name, x in mean_of_layers(heads_in(trial)).items()}
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
