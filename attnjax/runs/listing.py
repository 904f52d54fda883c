"""The list of runs: the changed fields, the state and the score of each. Free of jax, so that it is quick."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnjax.config import InputError
from attnjax.experiment.registry import default_config
from attnjax.experiment.serialize import encode, flatten
from attnjax.runs.store import Run
from attnjax.train.metrics import MetricsFile, Row


@dataclass(frozen=True)
class ListedRun:
    """One run: the config fields that are not the experiment's defaults, its state, its score.

    `changes` is None where the experiment cannot be loaded to tell. `seconds` have passed since the run last
    wrote something.
    """

    name: str
    changes: dict[str, Any] | None
    state: str
    score: str
    seconds: float


def listed_runs(runs: Path, experiment: str | None = None) -> Iterator[ListedRun]:
    """The runs of a folder, or those of one experiment, the newest first.

    A folder whose files are damaged says so as its state.
    """
    found = [Run(file.parent) for file in runs.glob("*/config.json")]
    for run in sorted(found, key=_changed, reverse=True):
        seconds = max(0.0, time.time() - _changed(run))
        try:
            record = run.record()
            if experiment in (None, record["experiment"]):
                changes, (state, score) = _changes(run, record), _progress(run, record)
                yield ListedRun(run.name, changes, state, score, seconds)
        except InputError as error:
            if experiment is None or run.name.startswith(f"{experiment}-"):
                yield ListedRun(run.name, {}, f"damaged: {error}", "", seconds)


def changed_fields(run: Run) -> dict[str, Any] | None:
    """The fields that are not the experiment's defaults, by dotted name; None where those are not known."""
    return _changes(run, run.record())


def _changed(run: Run) -> float:
    files = (run.result_file, run.metrics_file, run.provenance_file, run.config_file)
    return max(file.stat().st_mtime for file in files if file.is_file())


def _changes(run: Run, record: dict[str, Any]) -> dict[str, Any] | None:
    try:
        experiment, config = run.load()
    except InputError:
        return None
    defaults = flatten(encode(default_config(experiment)))
    return {name: x for name, x in flatten(encode(config)).items() if x != defaults.get(name)}


def _progress(run: Run, record: dict[str, Any]) -> tuple[str, str]:
    """The state and the score: the first number of the final table, or of the last validation."""
    result = run.result()
    if result is not None:
        table = result["metrics"]
        cells = [f"{row}: {name} {x:.4g}" for row, own in table.items() for name, x in own.items()]
        return "finished", next(iter(cells), "")
    rows = MetricsFile(run.metrics_file).rows()
    step = rows[-1]["step"] if rows else 0
    state = "running" if run.locked else "stopped"
    score = next((_validated(row) for row in reversed(rows) if row["split"] == "validation"), "")
    return f"{state} at {step}/{record['config']['train']['steps']}", score


def _validated(row: Row) -> str:
    name = next(name for name in row if name not in ("step", "split"))
    return f"validation: {name.replace('_', ' ')} {row[name]:.4g}"
