"""The report of one run: its curves, what it changes, its final table, samples and pictures, on one page."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnjax.config import InputError
from attnjax.experiment.words import changes_text, duration
from attnjax.runs import provenance, store
from attnjax.runs.listing import changed_fields
from attnjax.runs.report.document import document, figure, table, text
from attnjax.runs.store import Run
from attnjax.train.head_numbers import NUMBERS
from attnjax.train.metrics import MetricsFile, Row

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".gif"}


@dataclass(frozen=True)
class RunReport:
    """The contents of a run's report; `result` is None for a run that is not finished."""

    run: Run
    record: dict[str, Any]
    result: dict[str, Any] | None
    rows: list[Row]
    times: list[Row]
    changes: dict[str, Any] | None
    files: list[Path]


def write_run_report(run: Run) -> RunReport:
    """Writes report/ in the run's folder: report.html, and its curves as training.png, .svg and .pdf.

    Raises InputError for a run that has no metrics yet.
    """
    rows = MetricsFile(run.metrics_file).rows()
    if not rows:
        raise InputError(f"{run.name} has no metrics yet: nothing to report")
    times = MetricsFile(run.folder / "times.jsonl").rows()
    found = RunReport(run, run.record(), _result(run), rows, times, changed_fields(run), [])
    from attnjax.runs.report.figures import training
    from attnjax.tasks.pictures import FORMATS, encoded

    folder = run.folder / "report"
    store.prepare_folder(folder)
    drawn = training(rows)
    for kind in FORMATS:
        found.files.append(_write(folder / f"training.{kind}", encoded(drawn, kind)))
    pictures = {folder / "training.png": "Loss and validations against the step."}
    pictures |= {run.folder / name: Path(name).stem for name in (found.result or {}).get("figures", [])}
    from attnjax.runs.report.strip import strips

    for name, drawn in strips(run.folder / "watched").items():
        file = _write(folder / f"watched.{name}.png", encoded(drawn, "png"))
        found.files.append(file)
        pictures[file] = f"Attention of {name} for one input at checkpoints, and numbers on its heads."
    found.files.append(_write(folder / "report.html", _page(found, pictures).encode()))
    return found


def seconds_and_speed(times: list[Row]) -> str:
    """Returns a text on the duration of training and the median of its speeds.

    >>> seconds_and_speed([{"seconds": 90.0, "steps_per_second": 12.51}])
    '1.5 min of training, 12.5 steps/s'
    """
    if not times:
        return "times not known"
    known = sorted(row["steps_per_second"] for row in times if row["steps_per_second"] is not None)
    known = [rate for rate in known if rate == rate]
    speed = f", {known[len(known) // 2]:.3g} steps/s" if known else ""
    return f"{duration(times[-1]['seconds'])} of training{speed}"


def _result(run: Run) -> dict[str, Any] | None:
    """Of a run or of a sweep's trial."""
    result = run.outcome()
    return result and {"samples": [], "figures": [], "heads": {}, **result}


def _page(found: RunReport, pictures: Mapping[Path, str]) -> str:
    run, record, result = found.run, found.record, found.result
    changes = "" if found.changes is None else changes_text(found.changes) or "the experiment's defaults"
    shown = [figure(file.read_bytes(), caption) for file, caption in pictures.items() if _shows(file)]
    return document(
        run.name,
        [
            f"<h1>{text(run.name)}</h1>",
            f"<p class='lead'>{text(changes)}</p>",
            f"<p>{text(_state(found))}</p>",
            *([_scores(result["metrics"])] if result else []),
            *shown,
            *(_samples(result["samples"]) if result else []),
            *_validations(found.rows),
            *_heads(result["heads"] if result else {}),
            "<h2>Config</h2>",
            _config(record["config"], found.changes or {}),
            "<h2>How it was computed</h2>",
            f"<pre>{text(_provenance(run))}</pre>",
        ],
    )


def _state(found: RunReport) -> str:
    step, steps = found.rows[-1]["step"], found.record["config"]["train"]["steps"]
    speed = seconds_and_speed(found.times)
    if found.result is None:
        return f"Not finished: step {step} of {steps}, {speed}. The same command goes on."
    result = found.result
    count = result.get("parameters")
    parameters = f"{count:,} parameters, " if count else ""
    weights = result.get("weights", "last")
    return f"Finished: {step} steps, {parameters}{speed}. Evaluated: the {weights} weights."


def _scores(metrics: Mapping[str, Mapping[str, float]]) -> str:
    columns = list(dict.fromkeys(name for row in metrics.values() for name in row))
    rows = [[label, *(_number(row.get(name)) for name in columns)] for label, row in metrics.items()]
    return table(["evaluation", *columns], rows)


def _validations(rows: list[Row]) -> list[str]:
    """Nothing before the first one."""
    found = [row for row in rows if row["split"] == "validation"]
    columns = list(dict.fromkeys(name for row in found for name in row if name not in ("step", "split")))
    heads = ["step", *(name.replace("_", " ") for name in columns)]
    cells = [[str(row["step"]), *(_number(row.get(name)) for name in columns)] for row in found]
    return ["<h2>Validations</h2>", table(heads, cells)] if found else []


def _samples(samples: list[dict[str, str]]) -> list[str]:
    """A list: texts are too long for the columns of a table."""
    if not samples:
        return []
    items = ("<br>".join(f"<b>{text(name)}</b> {text(x)}" for name, x in row.items()) for row in samples)
    return ["<h2>Samples</h2>", f"<ul>{''.join(f'<li><p>{item}</p></li>' for item in items)}</ul>"]


def _heads(layers: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Nothing for a model whose weights are not those of tokens among tokens."""
    if not layers:
        return []
    rows = [[layer, *(_number(row[name]) for name in NUMBERS)] for layer, row in layers.items()]
    note = "Means over heads, rows and a few held-out inputs, whose padding counts as other tokens do."
    return ["<h2>Heads of attention</h2>", table(["layer", *NUMBERS], rows), f"<p>{note}</p>"]


def _config(config: dict[str, Any], changes: Mapping[str, Any]) -> str:
    """Returns a table of the changed fields, and all fields in a part that the reader can open."""
    changed = table(["changed field", "value"], [[name, str(value)] for name, value in changes.items()])
    whole = f"<details><summary>All fields</summary><pre>{text(json.dumps(config, indent=2))}</pre></details>"
    return (changed if changes else "") + whole


def _provenance(run: Run) -> str:
    starts = provenance.starts(run)
    if not starts:
        return "not recorded"
    names = ("time", "command", "platform", "device_kind", "devices")
    lines = {"starts": len(starts), **{name: starts[0].get(name) for name in names}, **starts[0]["versions"]}
    return "\n".join(f"{name:<18} {value}" for name, value in lines.items())


def _number(value: float | None) -> tuple[str, Any]:
    return ("—", "") if value is None else (f"{value:.4g}", value)


def _shows(file: Path) -> bool:
    """Returns True for a picture that a page can show. An evaluation may write other kinds of files."""
    return file.suffix in PICTURE_SUFFIXES and file.is_file() and file.stat().st_size > 0


def _write(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    os.replace(temporary, path)
    return path
