"""Trained runs measured by the metrics of translation, and compared by paired bootstrap."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attnjax.config import InputError, require
from attnjax.runs.placement import ALONE, Placement
from attnjax.runs.predict import predictions, trained_task
from attnjax.runs.store import Run

if TYPE_CHECKING:
    from attnjax.tasks.metrics.text import SystemScore

References = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""Inputs and right answers of parts, by their names."""


def measure(
    runs: Sequence[Run],
    parts: References | None = None,
    *,
    metrics: Sequence[str] = ("bleu", "chrf", "ter"),
    samples: int = 1000,
    search: Mapping[str, Any] = MappingProxyType({}),
    weights: str | None = None,
    on: Placement = ALONE,
) -> "dict[str, dict[str, list[SystemScore]]]":
    """Returns the scores of runs, by part and run; the first run is what the others are compared with.

    Args:
      runs: different ones.
      parts: None for those that the first run's task has.
      metrics: of "bleu", "chrf" and "ter".
      samples: of the bootstrap.
      search: other settings of the search.
      weights: the parameters after the "last" step, of the "best" validation, or a mean ("last:5"); None:
        those that the run was evaluated with.
      on: the mesh of the devices that answer.

    Raises:
      InputError: a run has no answers to give, its task no references, or a run comes twice.
    """
    names = [run.name for run in runs]
    require(len(set(names)) == len(names), f"{names[0]} comes twice: expected different runs")
    if parts is None:
        parts = _references(runs[0], weights, on)
    from attnjax.tasks.metrics.text import measured

    found = {}
    for part, (texts, references) in parts.items():
        outputs = {run.name: _outputs(run, texts, search, weights, on) for run in runs}
        found[part] = measured(outputs, references, metrics, samples)
    return found


def _references(run: Run, weights: str | None, on: Placement) -> References:
    task, _ = trained_task(run, weights, on)
    from attnjax.tasks.base import HasReferences

    if not isinstance(task, HasReferences):
        raise InputError(f"{run.name} has no references: {type(task).__name__} writes no text to compare")
    return task.references()


def _outputs(
    run: Run, texts: Sequence[str], search: Mapping[str, Any], weights: str | None, on: Placement
) -> list[str]:
    answers = predictions(run, texts, search=search, weights=weights, on=on)
    return ["" if answer is None else answer.text for _, answer in answers]
