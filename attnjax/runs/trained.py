"""Runs from Python, as a notebook wants them: started, loaded, asked. Folders are those of `attnjax run`."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attnjax.config import InputError, require
from attnjax.experiment import registry
from attnjax.experiment.changes import with_changes
from attnjax.experiment.words import changes_text
from attnjax.runs.listing import changed_fields
from attnjax.runs.predict import constrained_input, searching_task, trained_task
from attnjax.runs.report import document
from attnjax.runs.report.digits import shown
from attnjax.runs.start import Notify
from attnjax.runs.start import run as start_run
from attnjax.runs.store import Run
from attnjax.train.metrics import MetricsFile

if TYPE_CHECKING:
    import polars

    from attnjax.tasks.base import Prediction


@dataclass(frozen=True)
class TrainedRun:
    """A run in its folder: config, history, result, and its model at work.

    Attributes:
      folder: the run's folder, which `attnjax report` and the other commands take too.
    """

    folder: Path

    @property
    def config(self) -> Any:
        """The config that the run was made for."""
        return self._run.load()[1]

    @property
    def result(self) -> dict[str, dict[str, float]] | None:
        """The final table, row → column → value; None while the run is unfinished."""
        result = self._run.outcome()
        return None if result is None else result["metrics"]

    @property
    def history(self) -> "polars.DataFrame":
        """The rows of the metrics: step, split ("train" or "validation"), metrics, and the seconds so far."""
        import polars

        rows = MetricsFile(self._run.metrics_file).rows()
        times = {row["step"]: row for row in MetricsFile(self.folder / "times.jsonl").rows()}
        timed = [{**row, "seconds": times.get(row["step"], {}).get("seconds")} for row in rows]
        return polars.from_dicts(timed, infer_schema_length=None) if timed else polars.DataFrame()

    def predict(
        self,
        inputs: Sequence[Any],
        *,
        weights: str | None = None,
        search: Mapping[str, Any] = MappingProxyType({}),
        constraints: Sequence[Sequence[str]] | None = None,
    ) -> "list[Prediction]":
        """Returns the model's answer to each input, in order.

        Args:
          inputs: texts as `attnjax predict` takes them, or what the task's `predict` takes.
          weights: the parameters after the "last" step, or those of the "best" validation; "last:5" and
            "best:5" are the mean of those of so many checkpoints; None: those that the run was
            evaluated with.
          search: other settings of a run that searches for its answers, as {"beams": 5}.
          constraints: for each input the phrases that its answer has to have; None for none.

        Raises:
          InputError: the run cannot predict, has no checkpoint, or an input is none; it does not search; or
            no answer can have its phrases.
        """
        task, params = self._trained(weights)
        if search:
            task, params = searching_task(self._run, copy(task), params, search, ())
        read = [task.read_input(item) if isinstance(item, str) else item for item in inputs]
        if constraints is not None:
            require(
                len(constraints) == len(read),
                f"constraints has {len(constraints)} entries: expected one for each input, {len(read)}",
            )
            each = enumerate(zip(read, constraints, strict=True))
            read = [constrained_input(task, one, own, f"constraints[{i}]: ") for i, (one, own) in each]
        return list(task.predict(params, read)) if read else []

    def attention(self, inputs: Sequence[Any], *, weights: str | None = None) -> "list[polars.DataFrame]":
        """Returns a table for each input: an emitted piece a row, its weight on each source piece a column.

        Raises:
          InputError: the answers of the task carry no attention.
        """
        import polars

        found = []
        answer: Any
        for answer in self.predict(inputs, weights=weights):
            if not hasattr(answer, "alignment"):
                raise InputError(f"{self._run.name}: its answers carry no attention weights")
            rows = [f"{i}:{piece}" for i, piece in enumerate(answer.target_pieces)]
            columns = {f"{j}:{piece}": answer.alignment[:, j] for j, piece in enumerate(answer.source_pieces)}
            found.append(polars.DataFrame({"piece": rows, **columns}))
        return found

    def model(self, *, weights: str | None = None) -> Any:
        """Returns the model, an `nnx.Module`, with the run's parameters.

        Raises:
          InputError: the task has no model of its own, or the run no checkpoint.
        """
        task, params = self._trained(weights)
        if not hasattr(task, "model"):
            raise InputError(f"{self._run.name}: {type(task).__name__} has no method model")
        return task.model(params)

    def _repr_html_(self) -> str:
        changes = changes_text(changed_fields(self._run) or {}) or "the experiment's defaults"
        rows = self.result or {}
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        cells = [[name, *(shown(row.get(column, "")) for column in columns)] for name, row in rows.items()]
        table = document.table(["", *columns], cells) if rows else "<p>not finished</p>"
        return f"<b>{document.text(self._run.name)}</b> <code>{document.text(changes)}</code>{table}"

    @property
    def _run(self) -> Run:
        return Run(self.folder)

    def _trained(self, weights: str | None) -> tuple[Any, Any]:
        if weights not in self._loaded:
            self._loaded[weights] = trained_task(self._run, weights)
        return self._loaded[weights]

    @cached_property
    def _loaded(self) -> dict[str | None, tuple[Any, Any]]:
        return {}


def run(
    experiment: Any,
    changes: Mapping[str, Any] | None = None,
    *,
    folder: Path | str = "runs",
    devices: int | None = None,
    mesh: str | None = None,
    rules: str | None = None,
    fresh: bool = False,
    accept_changed_code: bool = False,
    notify: Notify = print,
) -> TrainedRun:
    """Runs an experiment, or loads what a run of this config has left; an unfinished one goes on.

    Args:
      experiment: its name, or its config class, which may be defined in a notebook's cell.
      changes: fields of its config by dotted name, and their new values.
      folder: the folder of run folders.
      devices: the number of devices; None: all, or as many as the run began with.
      mesh: of the devices, as "data=4,model=2" or "auto"; None: that which the run began with, or "data".
      rules: what is split over the mesh, as "fsdp" or "tensor,vocab=none"; None: nothing but batches.
      fresh: begin anew; the folder of the run before is renamed.
      accept_changed_code: go on although code of yours has changed.
      notify: called with notes for the user.

    Raises:
      InputError: an unknown experiment or field, a value that the config refuses, or another error of
        `attnjax run`.
      RunFailed: training diverged.
    """
    found = experiment_of(experiment)
    config = with_changes(registry.default_config(found), changes or {}, found.name)
    outcome = start_run(
        found,
        config,
        runs=Path(folder),
        devices=devices,
        mesh=mesh,
        rules=rules,
        fresh=fresh,
        accept_changed_code=accept_changed_code,
        notify=notify,
    )
    return TrainedRun(outcome.run.folder)


def load(folder: Path | str) -> TrainedRun:
    """Returns the run of a folder: of `attnjax run`, or a trial of a sweep that kept its parameters.

    Raises:
      InputError: the folder is no run.
    """
    registry.discover()
    Run(Path(folder)).record()
    return TrainedRun(Path(folder))


def experiment_of(experiment: Any) -> registry.Experiment:
    """Returns the registered experiment of this name, or of this config class."""
    problems = registry.discover()
    if isinstance(experiment, str):
        return registry.find(experiment, problems)
    for known in registry.known():
        if known.make is experiment:
            return known
    raise InputError(f"experiment is {experiment!r}: expected a name, or a class under @experiment")
