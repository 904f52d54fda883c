"""Shows the trials of a sweep in services such as Weights & Biases: each is a run of the sweep's group."""

from collections.abc import Sequence

from attnjax.runs.run import show_finished
from attnjax.sweeps.store import Sweep
from attnjax.sweeps.trials import Trial
from attnjax.sweeps.worker import Watcher


class SinksWatcher(Watcher):
    """Shows each trial when it has ended: wherever it was computed, its folder tells all of it.

    Trials that ended in an earlier start and were not shown then are shown at the beginning.
    """

    def __init__(self, sinks: Sequence[str]) -> None:
        self._sinks = sinks

    def begin(self, sweep: Sweep, trials: int, steps: int) -> None:
        self._sweep = sweep
        for trial in sweep.trials():
            self._show(trial.number)

    def ended(self, trial: Trial, status: str, value: float | None, reason: str | None) -> None:
        self._show(trial.number)

    def _show(self, number: int) -> None:
        run, result = self._sweep.trial(number), self._sweep.result(number)
        if result and run.started:  # A trial that could not be has no run.
            show_finished(run, result, self._sinks, group=self._sweep.name)
