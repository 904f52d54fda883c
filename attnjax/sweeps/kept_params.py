"""Checkpoints of the states of trials, for the best trial, for all or for none.

It is written before the trial's result, so a result that should have one has it, and that of a trial which is
no longer the best goes after the better one's result is there: a kill at any moment loses nothing.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.runs.store import Run
from attnjax.sweeps.pack_plan import PackPlan
from attnjax.sweeps.spec import SweepSpec
from attnjax.sweeps.store import Sweep, metric_value
from attnjax.tasks.errors import task_code

if TYPE_CHECKING:
    from attnjax.tasks.base import Task
    from attnjax.train.packs.round import Ended

Rank = tuple[float, int]


class KeptParams:
    """Keeps what `plan.keep_params` names: the state of the best trial ("best"), of "all" or of none."""

    def __init__(self, spec: SweepSpec, sweep: Sweep, plan: PackPlan) -> None:
        self._sweep, self._metric, self._plan = sweep, spec.metric, plan
        self._sign = 1.0 if (spec.mode or plan.monitor[1]) == "max" else -1.0
        self._best: Rank | None = None
        self._looked = False

    def before_result(self, task: "Task", end: "Ended", value: float | None) -> None:
        """Writes the state of a trial that is done, if it is to be kept."""
        best = self._plan.keep_params == "best" and self._is_best(self._rank(end.trial.number, value))
        if best or self._plan.keep_params == "all":
            _save(self._sweep.trial(end.trial.number), task, end, self._plan.monitor)

    def after_result(self, number: int, value: float | None) -> None:
        """Lets go of the state that was the best until now, where this one is better."""
        rank, before = self._rank(number, value), self.best()
        if self._is_best(rank):
            self._best = rank
            if before and self._plan.keep_params == "best":
                _drop(self._sweep.trial(-before[1]).folder)

    def tidy(self) -> None:
        """Leaves the best trial's state alone, whatever other processes thought was best."""
        self._looked = False
        best = self.best()
        if best and self._plan.keep_params == "best":
            kept = self._sweep.trial(-best[1]).folder
            for folder in {file.parent for file in self._sweep.folder.glob("trials/*/checkpoints")} - {kept}:
                _drop(folder)

    def best(self) -> Rank | None:
        """The best trial that has a result: what lies on the disk at first, then what was heard."""
        if not self._looked:
            self._looked = True
            monitor = self._plan.monitor[0]
            values = {
                trial.number: metric_value(trial.result, self._metric, monitor)
                for trial in self._sweep.trials()
                if trial.status == "done"
            }
            ranks = [rank for number, value in values.items() if (rank := self._rank(number, value))]
            self._best = max(ranks, default=None)
        return self._best

    def _is_best(self, rank: Rank | None) -> bool:
        before = self.best()
        return rank is not None and (before is None or rank > before)

    def _rank(self, number: int, value: float | None) -> Rank | None:
        """Greater is better; of equals, the first trial."""
        return None if value is None else (self._sign * value, -number)


def _save(run: Run, task: "Task", end: "Ended", monitor: tuple[str, str]) -> None:
    """Writes the last state and, where the pack kept it, the best, as a run of its own does."""
    from attnjax.train.checkpoint import Checkpoints
    from attnjax.train.state import with_latest_params

    _drop(run.folder)
    with task_code("save"):
        task.save(run.folder)
    assert end.state is not None
    mode: Any = monitor[1]
    with Checkpoints(run.folder / "checkpoints", keep=1, mode=mode) as checkpoints:
        if end.best is not None:
            state = with_latest_params(end.state, end.best.params)
            checkpoints.save(end.best.step, state, end.best.values[monitor[0]])
        if end.best is None or end.best.step != end.step:
            checkpoints.save(end.step, end.state)


def _drop(folder: Path) -> None:
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
