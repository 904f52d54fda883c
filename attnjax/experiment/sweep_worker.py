"""Computes packs of trials and writes what becomes of each."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from attnjax.experiment import store
from attnjax.experiment.sweep_plan import Plan
from attnjax.experiment.sweep_programs import Programs
from attnjax.experiment.sweep_prune import pruner
from attnjax.experiment.sweep_spec import SweepSpec
from attnjax.experiment.sweep_store import Sweep, measured, write_result
from attnjax.experiment.trials import Trial

if TYPE_CHECKING:
    from attnjax.train.pack import Ended, PackProgram, PackTrial


class Watcher:
    """What may look on while a sweep runs; this one does nothing."""

    def begin(self, sweep: Sweep, trials: int, steps: int) -> None:
        """Before the first pack: how many trials there are and how many steps they have left together."""

    def started(self, trials: int) -> None:
        """So many trials more are running."""

    def computed(self, steps: int) -> None:
        """So many steps more, of one trial each, are behind us."""

    def ended(self, trial: Trial, status: str, value: float | None, reason: str | None) -> None:
        """A running trial ended."""

    def close(self) -> None:
        """After the last pack."""


@dataclass(frozen=True)
class Pack:
    """Trials that are trained together, and the folder of what they share."""

    folder: Path
    trials: Sequence[Trial]

    @classmethod
    def of(cls, sweep: Sweep, trials: Sequence[Trial]) -> "Pack":
        return cls(sweep.folder / "packs" / f"{trials[0].number:04d}", trials)


@dataclass
class Worker:
    """Computes packs: one program for each shape."""

    spec: SweepSpec
    sweep: Sweep
    plan: Plan
    programs: Programs
    watcher: Watcher = field(default_factory=Watcher)

    def run(self, pack: Pack) -> bool:
        """Trains and evaluates the trials of a pack that have no result yet; False when SIGTERM came."""
        ended = [trial.number for trial in pack.trials if self.sweep.result(trial.number) is not None]
        if len(ended) < len(pack.trials):
            self.watcher.started(len(pack.trials) - len(ended))
            if not self._train(pack, ended):
                return False
        shutil.rmtree(pack.folder, ignore_errors=True)
        return True

    def _train(self, pack: Pack, ended: Sequence[int]) -> bool:
        from attnjax.train.pack import fit_pack

        program = self.programs.program(pack.trials[0], self.plan.layout)
        trials, at = {trial.number: trial for trial in pack.trials}, 0

        def on_step(step: int, alive: int) -> None:
            nonlocal at
            self.watcher.computed((step - at) * alive)
            at = step

        prune = pruner(self.spec, self.sweep, self.plan, pack.trials) if self.spec.search else None
        return fit_pack(
            program,
            [self._prepared(trial) for trial in pack.trials],
            folder=pack.folder,
            ended=ended,
            on_end=lambda end: self._end(program, trials[end.trial.number], end),
            on_step=on_step,
            **({"prune": prune} if prune else {}),
        )

    def _prepared(self, trial: Trial) -> "PackTrial":
        from attnjax.train.pack import PackTrial

        run = self.sweep.trial(trial.number)
        if not run.started:
            store.prepare_folder(run.folder)
            run.write_config(self.spec.entry, trial.config)
        return PackTrial(trial.number, trial.config.train, trial.config.seed, run.metrics_file)

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
        value = measured(found, self.spec.measure, self.plan.monitor[0])
        self.watcher.ended(trial, end.status, value, end.reason)
