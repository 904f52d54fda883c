"""The state of a sweep: trials by status, the best trial so far, the time that is left."""

import time
from collections import Counter
from dataclasses import dataclass

from attnjax.experiment.changes import Changes
from attnjax.runs.store import Run
from attnjax.sweeps.spec import SweepSpec
from attnjax.sweeps.store import Sweep, TrialRecord, metric_value, read_plan
from attnjax.sweeps.trials import Trial
from attnjax.sweeps.watcher import Watcher

STATUSES = ("done", "running", "failed", "pruned", "waiting")


@dataclass(frozen=True)
class SweepStatus:
    """The state of a sweep as its folder shows it.

    Attributes:
      counts: trials by status. Trials that have begun are "running" while a process works on the sweep, and
        "stopped" otherwise.
      failed: the trials that failed.
      resumable: whether trials are left to compute.
      retryable: whether `--retry-failed` would compute trials again.
    """

    counts: dict[str, int]
    failed: list[TrialRecord]
    resumable: bool
    retryable: bool


def sweep_status(sweep: Sweep) -> SweepStatus:
    """Returns the state of a sweep. Raises InputError if its files are damaged."""
    record, trials = sweep.record(), sweep.trials()
    count: Counter[str] = Counter(trial.status for trial in trials)
    search = record.get("search")
    count["waiting"] += (search or {"trials": len(trials)})["trials"] - len(trials)
    if not Run(sweep.folder).locked:
        count["stopped"] = count.pop("running", 0)
    counts = {name: count[name] for name in (*STATUSES, "stopped") if count[name]}
    failed = [trial for trial in trials if trial.status == "failed"]
    resumable = bool(count["waiting"] or count["stopped"])
    return SweepStatus(counts, failed, resumable, bool(failed) and not search)


@dataclass(frozen=True)
class BestTrial:
    """The best finished trial of a sweep; `value` is that of `metric`, a label to print."""

    trial: TrialRecord
    metric: str
    value: float


def best_trial(sweep: Sweep) -> BestTrial | None:
    """Returns the best finished trial by the sweep's metric, or None if no trial has a finite value of it.

    Of equal values the trial with the lowest number is the best.
    """
    record, plan = sweep.record(), read_plan(sweep)
    if plan is None:
        return None
    metric, (monitor, better) = record["metric"], plan["monitor"]
    sign = 1 if (record["mode"] or better) == "max" else -1
    done = [trial for trial in sweep.trials() if trial.status == "done"]
    values = [(trial, metric_value(trial.result, metric, monitor)) for trial in done]
    known = [(sign * value, -trial.number, trial) for trial, value in values if value is not None]
    if not known:
        return None
    value, _, trial = max(known)
    return BestTrial(trial, metric or f"validation {monitor}", sign * value)


class SweepProgress(Watcher):
    """Follows a running sweep: counts its trials, keeps the best one and estimates the time that is left.

    `best` is the value of the metric and the changes of the best trial so far, or None.
    """

    def __init__(self, spec: SweepSpec) -> None:
        self._mode, self._metric = spec.mode, spec.metric
        self.best: tuple[float, Changes] | None = None
        self._running = 0

    def begin(self, sweep: Sweep, trials: int, steps: int) -> None:
        """Reads the trials that have ended, and starts the clock."""
        monitor, better = (read_plan(sweep) or {"monitor": ["", "max"]})["monitor"]
        self._mode = self._mode or better
        records = sweep.trials()
        for record in records:
            if record.status == "done":
                self._rank(metric_value(record.result, self._metric, monitor), record.changes)
        self._ended: Counter[str] = Counter(record.status for record in records if record.result)
        self._trials, self.steps, self.steps_done = trials, steps, 0
        self._began = time.monotonic()
        self._ended_here = 0

    def started(self, trials: int) -> None:
        """Counts trials that are now computed."""
        self._running += trials

    def computed(self, steps: int) -> None:
        """Counts steps that are done."""
        # A search that was killed computes some steps again.
        self.steps_done = min(self.steps_done + steps, self.steps)

    def ended(self, trial: Trial, status: str, value: float | None, reason: str | None) -> None:
        """Counts the end of a trial, and keeps it if it is the best."""
        self._ended[status] += 1
        self._running -= 1
        self._ended_here += 1
        self._rank(value if status == "done" else None, trial.changes)

    def refused(self, number: int, reason: str) -> None:
        """Counts a trial that cannot be as failed."""
        self._ended["failed"] += 1

    def close(self) -> None:
        """Counts no trial as computed any more."""
        self._running = 0

    @property
    def counts(self) -> dict[str, int]:
        """The number of trials of each status."""
        found = {**self._ended, "running": self._running}
        waiting = self._trials - sum(found.values())
        return {name: found.get(name, 0) for name in STATUSES[:-1]} | {"waiting": max(0, waiting)}

    @property
    def compiling(self) -> bool:
        """True while no trial runs: the program of a shape is compiled before its first steps."""
        counts = self.counts
        return not self.steps_done or bool(counts["waiting"] and not counts["running"])

    @property
    def trials_per_hour(self) -> float:
        """The rate at which trials have ended since this start."""
        return 3600 * self._ended_here / (time.monotonic() - self._began)

    @property
    def seconds_left(self) -> float:
        """The time that the remaining steps take at the speed so far; infinite before the first step."""
        if not self.steps_done:
            return float("inf")
        return (self.steps - self.steps_done) * (time.monotonic() - self._began) / self.steps_done

    def _rank(self, value: float | None, changes: Changes) -> None:
        """Keeps a value that is better than the best so far."""
        sign = 1 if self._mode == "max" else -1
        if value is not None and (self.best is None or sign * value > sign * self.best[0]):
            self.best = value, changes
