"""What becomes of a pack that another process computes, as its folders tell it."""

from typing import Any

from attnjax.sweeps.spec import SweepSpec, trial_of
from attnjax.sweeps.store import Sweep, metric_value, read_plan
from attnjax.sweeps.trials import Trial
from attnjax.sweeps.worker import Pack, Watcher


class Follower:
    """Tells a watcher what is new each time it looks."""

    def __init__(self, spec: SweepSpec, sweep: Sweep, pack: Pack, watcher: Watcher) -> None:
        self.pack = pack
        self._spec, self._sweep, self._watcher = spec, sweep, watcher
        self._left = [number for number in pack.numbers if sweep.result(number) is None]
        self._steps: dict[int, int] = {}

    @property
    def finished(self) -> bool:
        """Whether every trial of the pack has ended."""
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
