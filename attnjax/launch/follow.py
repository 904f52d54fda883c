"""What becomes of a pack that another process computes, as its folders tell it."""

from attnjax.experiment.sweep_spec import SweepSpec
from attnjax.experiment.sweep_store import Sweep, measured, read_plan
from attnjax.experiment.sweep_worker import Pack, Watcher


class Follower:
    """Tells a watcher what is new each time it looks."""

    def __init__(self, spec: SweepSpec, sweep: Sweep, pack: Pack, watcher: Watcher) -> None:
        self.pack = pack
        self._spec, self._sweep, self._watcher = spec, sweep, watcher
        self._left = [trial for trial in pack.trials if sweep.result(trial.number) is None]
        self._step, self._started = 0, False

    @property
    def finished(self) -> bool:
        """Whether every trial of the pack has ended."""
        return not self._left

    def look(self) -> None:
        """Reads the folders."""
        if not self._left or not self._sweep.trial(self._left[0].number).started:
            return
        if not self._started:
            self._started = True
            self._watcher.started(len(self._left))
        if (step := self._last_step()) > self._step:
            self._watcher.computed((step - self._step) * len(self._left))
            self._step = step
        monitor = (read_plan(self._sweep) or {})["monitor"][0]
        for trial in list(self._left):
            if result := self._sweep.result(trial.number):
                value = measured(result, self._spec.measure, monitor)
                self._watcher.ended(trial, result["status"], value, result["reason"])
                self._left.remove(trial)

    def _last_step(self) -> int:
        from attnjax.train.metrics import MetricsFile

        rows = MetricsFile(self._sweep.trial(self._left[0].number).metrics_file).rows()
        return rows[-1]["step"] if rows else 0
