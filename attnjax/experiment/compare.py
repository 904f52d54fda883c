"""Two runs side by side: where their configs differ, and what came out."""

from dataclasses import dataclass
from typing import Any

from attnjax.experiment.serialize import flatten
from attnjax.experiment.store import Run

Row = tuple[str, Any, Any]
ABSENT = "–"


@dataclass(frozen=True)
class Comparison:
    """Rows of (name, value in the first run, value in the second)."""

    runs: tuple[Run, Run]
    config: list[Row]
    metrics: list[Row]


def compare(first: Run, second: Run) -> Comparison:
    """The config fields that differ, and every metric of either run; an unfinished run has no metrics."""
    configs = [_described(run) for run in (first, second)]
    changed = [row for row in _rows(*configs) if row[1] != row[2]]
    return Comparison((first, second), changed, _rows(_metrics(first), _metrics(second)))


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
    return {**scores, "steps": result["step"], "parameters": (result["params_hash"] or ABSENT)[:12]}


def _rows(first: dict[str, Any], second: dict[str, Any]) -> list[Row]:
    return [(name, first.get(name, ABSENT), second.get(name, ABSENT)) for name in {**first, **second}]
