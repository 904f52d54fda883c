"""Sweeps from Python, as a notebook wants them. The folders are those of `attnjax sweep`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import require
from attnjax.experiment import registry
from attnjax.experiment.changes import with_changes
from attnjax.runs.report import document
from attnjax.runs.start import Notify, Weights, absolute_paths
from attnjax.runs.trained import TrainedRun, experiment_of
from attnjax.sweeps import trials
from attnjax.sweeps.launch import PackOptions
from attnjax.sweeps.report.table import Findings, findings
from attnjax.sweeps.report.write import frames
from attnjax.sweeps.run import run_sweep
from attnjax.sweeps.spec import SweepSpec
from attnjax.sweeps.store import Sweep

if TYPE_CHECKING:
    import polars
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class FinishedSweep:
    """A sweep in its folder: its table, its best trial, figures of it.

    Attributes:
      folder: the sweep's folder, which `attnjax report` and the other commands take too.
    """

    folder: Path

    @property
    def table(self) -> "polars.DataFrame":
        """The settings, the best first: swept fields, mean over seeds, standard deviation, counts."""
        return frames(self._findings)[0]

    @property
    def trials(self) -> "polars.DataFrame":
        """The trials: swept fields, status, metric, and the cells of each result's table."""
        return frames(self._findings)[1]

    @property
    def best(self) -> TrainedRun | None:
        """The best trial that kept its parameters; None if there is none."""
        record = self._findings.best_with_weights
        return None if record is None else TrainedRun(record.folder)

    def figure(self, x: str, lines: str | None = None) -> "Figure":
        """Returns a figure of the metric against a field, a line for each value of another.

        Args:
          x: a swept field, by dotted name.
          lines: another one; None for one line.

        Raises:
          InputError: the sweep does not vary such a field.
        """
        from attnjax.sweeps.report.figures import curves

        found = self._findings
        for name in filter(None, (x, lines)):
            near = registry.nearest(name, found.axes)
            require(name in found.axes, f"{self.folder.name} does not vary {name!r}{near}")
        return curves(found, x, lines)

    def _repr_html_(self) -> str:
        shown: str = self.table._repr_html_()
        return f"<b>{document.text(self.folder.name)}</b>{shown}"

    @property
    def _findings(self) -> Findings:
        return findings(Sweep(self.folder))


def sweep(
    experiment: Any,
    grid: Mapping[str, Sequence[Any]],
    *,
    changes: Mapping[str, Any] | None = None,
    seeds: int = 1,
    name: str | None = None,
    metric: str | None = None,
    mode: str | None = None,
    folder: Path | str = "runs",
    devices: int | None = None,
    weights: Weights | None = None,
    notify: Notify = print,
) -> FinishedSweep:
    """Runs an experiment over every combination of a grid; a stopped sweep goes on.

    Args:
      experiment: its name, or its config class, which may be defined in a notebook's cell.
      grid: fields of its config by dotted name, and the values that each takes.
      changes: other fields, and their values in all trials.
      seeds: the number of seeds of each combination.
      name: of the sweep's folder; None: the experiment's.
      metric: ROW/COLUMN of the final table; None: the task's monitor.
      mode: the better end of the metric, "max" or "min"; None: the monitor's.
      folder: the folder of run folders.
      devices: as in `attnjax sweep`.
      weights: what is evaluated: the parameters after the "last" step, or of the "best" validation; None:
        what the experiment says, or the last.
      notify: called with notes for the user.

    Raises:
      InputError: an unknown experiment or field, a value that the config refuses, or another error of
        `attnjax sweep`.
    """
    found = experiment_of(experiment)
    config = absolute_paths(with_changes(registry.default_config(found), changes or {}, found.name))
    asked = trials.with_seeds(trials.grid({name: list(values) for name, values in grid.items()}), seeds)
    made, _ = trials.make_trials(config, asked, skip_invalid=False)
    spec = SweepSpec(name or found.name, found, config, made, metric, mode, f"{found.name}: {found.summary}")
    place = spec.folder(Path(folder))
    run_sweep(spec, place, pack_options=PackOptions(devices=devices, weights=weights), notify=notify)
    return FinishedSweep(place.folder)


def load(folder: Path | str) -> FinishedSweep:
    """Returns the sweep of a folder.

    Raises:
      InputError: the folder is no sweep.
    """
    registry.discover()
    found = FinishedSweep(Path(folder))
    _ = found._findings
    return found
