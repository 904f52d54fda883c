"""Computes packs of trials and writes what becomes of each."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from attnjax.experiment import store
from attnjax.experiment.registry import Experiment
from attnjax.experiment.sweep_plan import Plan
from attnjax.experiment.sweep_programs import Programs
from attnjax.experiment.sweep_store import Sweep, measured, write_result
from attnjax.experiment.trials import Trial

if TYPE_CHECKING:
    from attnjax.train.pack import Ended, PackProgram, Prune


class Watcher:
    """What may look on while a sweep runs; this one does nothing."""

    def begin(self, sweep: Sweep, trials: int, steps: int) -> None:
        """Before the first pack: how many trials there are and how many steps they have left together."""

    def pack(self, trials: int) -> None:
        """A pack of so many trials begins, or goes on."""

    def step(self, step: int) -> None:
        """A chunk of the present pack ended at `step`."""

    def ended(self, trial: Trial, status: str, value: float | None, reason: str | None) -> None:
        """A trial of the present pack ended."""

    def close(self) -> None:
        """After the last pack."""


@dataclass(frozen=True)
class Pack:
    """Trials that are trained together, and the folder of what they share."""

    folder: Path
    trials: Sequence[Trial]


@dataclass
class Worker:
    """Computes packs: one program for each shape."""

    sweep: Sweep
    entry: Experiment
    plan: Plan
    programs: Programs
    watcher: Watcher = field(default_factory=Watcher)
    measure: str | None = None

    def run(self, pack: Pack, prune: "Prune | None" = None) -> bool:
        """Trains and evaluates the trials of a pack that have no result yet; False when SIGTERM came."""
        from attnjax.train.pack import PackTrial, fit_pack

        trials = {trial.number: trial for trial in pack.trials}
        ended = [number for number in trials if self.sweep.result(number) is not None]
        if len(ended) < len(trials):
            program, packed = self.programs.program(pack.trials[0], self.plan.layout), []
            for trial in pack.trials:
                run = self.sweep.trial(trial.number)
                if not run.started:
                    store.prepare_folder(run.folder)
                    run.write_config(self.entry, trial.config)
                metrics = run.folder / "metrics.jsonl"
                packed.append(PackTrial(trial.number, trial.config.train, trial.config.seed, metrics))
            self.watcher.pack(len(trials) - len(ended))
            done = fit_pack(
                program,
                packed,
                folder=pack.folder,
                ended=ended,
                on_end=lambda end: self._end(program, trials[end.trial.number], end),
                on_step=lambda step, alive: self.watcher.step(step),
                **({"prune": prune} if prune else {}),
            )
            if not done:
                return False
        shutil.rmtree(pack.folder, ignore_errors=True)
        return True

    def _end(self, program: "PackProgram", trial: Trial, end: "Ended") -> None:
        from attnjax.train.hashing import params_hash

        run = self.sweep.trial(trial.number)
        metrics, digest = {}, None
        if end.params is not None:
            metrics = program.task.evaluate(end.params, run.folder).metrics
            digest = params_hash(end.params)
        write_result(
            run,
            end.status,
            end.step,
            reason=end.reason,
            params_hash=digest,
            validation=end.validation,
            metrics=metrics,
        )
        found = {"validation": end.validation, "metrics": metrics}
        value = measured(found, self.measure, program.task.monitor[0])
        self.watcher.ended(trial, end.status, value, end.reason)
