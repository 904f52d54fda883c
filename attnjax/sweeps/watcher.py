"""Watchers: objects that are told how a running sweep goes on, such as the live table."""

from collections.abc import Sequence
from typing import Any

from attnjax.runs.showing import show_finished
from attnjax.sweeps.spec import SweepSpec, trial_of
from attnjax.sweeps.store import Pack, Sweep, metric_value, read_plan
from attnjax.sweeps.trials import Trial


class Watcher:
    """An object that is told how a running sweep goes on. This base class does nothing."""

    def begin(self, sweep: Sweep, trials: int, steps: int) -> None:
        """Before the first pack: how many trials there are and how many steps they have left together."""

    def started(self, trials: int) -> None:
        """So many trials more are running."""

    def computed(self, steps: int) -> None:
        """So many steps more, of one trial each, are behind us."""

    def ended(self, trial: Trial, status: str, value: float | None, reason: str | None) -> None:
        """A running trial ended."""

    def refused(self, number: int, reason: str) -> None:
        """A trial that a search asked for cannot be."""

    def close(self) -> None:
        """After the last pack."""


class Watchers(Watcher):
    """Passes everything on to several watchers."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers

    def begin(self, sweep: Sweep, trials: int, steps: int) -> None:
        """Tells each watcher that the sweep begins."""
        for watcher in self._watchers:
            watcher.begin(sweep, trials, steps)

    def started(self, trials: int) -> None:
        """Tells each watcher how many trials have begun."""
        for watcher in self._watchers:
            watcher.started(trials)

    def computed(self, steps: int) -> None:
        """Tells each watcher how many steps are done."""
        for watcher in self._watchers:
            watcher.computed(steps)

    def ended(self, trial: Trial, status: str, value: float | None, reason: str | None) -> None:
        """Tells each watcher that a trial has ended."""
        for watcher in self._watchers:
            watcher.ended(trial, status, value, reason)

    def refused(self, number: int, reason: str) -> None:
        """Tells each watcher why a trial cannot be."""
        for watcher in self._watchers:
            watcher.refused(number, reason)

    def close(self) -> None:
        """Closes each watcher."""
        for watcher in self._watchers:
            watcher.close()


class SinksWatcher(Watcher):
    """Shows each trial when it has ended: wherever it was computed, its folder tells all of it.

    Trials that ended in an earlier start and were not shown then are shown at the beginning.
    """

    def __init__(self, sinks: Sequence[str]) -> None:
        self._sinks = sinks

    def begin(self, sweep: Sweep, trials: int, steps: int) -> None:
        """Shows the trials that ended in an earlier start and were not shown then."""
        self._sweep = sweep
        for trial in sweep.trials():
            self._show(trial.number)

    def ended(self, trial: Trial, status: str, value: float | None, reason: str | None) -> None:
        """Shows the trial."""
        self._show(trial.number)

    def _show(self, number: int) -> None:
        run, result = self._sweep.trial(number), self._sweep.result(number)
        if result and run.started:  # A trial that could not be has no run.
            show_finished(run, result, self._sinks, group=self._sweep.name)


class Follower:
    """Follows a pack that another process computes, by its folders, and tells a watcher what is new."""

    def __init__(self, spec: SweepSpec, sweep: Sweep, pack: Pack, watcher: Watcher) -> None:
        self.pack = pack
        self._spec, self._sweep, self._watcher = spec, sweep, watcher
        self._left = [number for number in pack.numbers if sweep.result(number) is None]
        self._steps: dict[int, int] = {}

    @property
    def finished(self) -> bool:
        """True if every trial of the pack has ended."""
        return not self._left

    def look(self) -> None:
        """Reads the folders."""
        for number in list(self._left):
            result = self._sweep.result(number)
            if self._sweep.trial(number).started:
                self._follow(number)
            if result:
                self._left.remove(number)
                self._end(number, result)

    def _follow(self, number: int) -> None:
        from attnjax.train.metrics import MetricsFile

        if number not in self._steps:
            self._steps[number] = 0
            self._watcher.started(1)
        row = MetricsFile(self._sweep.trial(number).metrics_file).last()
        self._computed(number, row["step"] if row else 0)

    def _end(self, number: int, result: dict[str, Any]) -> None:
        if number not in self._steps:
            self._watcher.refused(number, result["reason"])
            return
        trial = self._trial(number)
        self._computed(number, trial.config.train.steps)  # Those that it has left will not be.
        monitor = (read_plan(self._sweep) or {})["monitor"][0]
        value = metric_value(result, self._spec.metric, monitor)
        self._watcher.ended(trial, result["status"], value, result["reason"])

    def _computed(self, number: int, step: int) -> None:
        if step > self._steps[number]:
            self._watcher.computed(step - self._steps[number])
            self._steps[number] = step

    def _trial(self, number: int) -> Trial:
        if self._spec.search is None:
            return self._spec.trials[number]
        changes = self._sweep.asked(number)
        assert changes is not None
        return trial_of(self._spec, number, changes)
