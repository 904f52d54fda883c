"""Runs side by side: where their configs differ, and what came out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attnjax.experiment.serialize import flatten
from attnjax.runs.store import Run

Row = tuple[Any, ...]
ABSENT = "–"


@dataclass(frozen=True)
class RunComparison:
    """Rows of a name and a value for each run."""

    runs: tuple[Run, ...]
    config: list[Row]
    metrics: list[Row]


def compare(runs: Sequence[Run]) -> RunComparison:
    """The config fields that differ, and every metric of any run; an unfinished run has no metrics."""
    changed = [row for row in _rows([_described(run) for run in runs]) if _differ(row[1:])]
    return RunComparison(tuple(runs), changed, _rows([_metrics(run) for run in runs]))


def _described(run: Run) -> dict[str, Any]:
    record = run.record()
    return {"experiment": record["experiment"], **flatten(record["config"])}


def _metrics(run: Run) -> dict[str, Any]:
    result = run.outcome()
    if result is None:
        return {"state": "not finished"}
    scores = {
        f"{row}: {name}": value for row, values in result["metrics"].items() for name, value in values.items()
    }
    return {
        **scores,
        "weights": result.get("weights", "last"),
        "steps": result["step"],
        "parameters": result.get("parameters", ABSENT),
        "hash of the parameters": (result["params_hash"] or ABSENT)[:12],
    }


def _rows(columns: Sequence[dict[str, Any]]) -> list[Row]:
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, *(column.get(name, ABSENT) for column in columns)) for name in names]


def _differ(values: Row) -> bool:
    return any(value != values[0] for value in values)
