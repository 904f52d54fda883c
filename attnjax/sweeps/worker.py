"""Computes packs of trials and writes what becomes of each."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from attnjax.config import InputError
from attnjax.runs import store
from attnjax.runs.store import Run
from attnjax.sweeps.kept_params import KeptParams
from attnjax.sweeps.pack_plan import PackPlan
from attnjax.sweeps.programs import Programs, packed_trial
from attnjax.sweeps.search import asked_trials, pruner
from attnjax.sweeps.spec import SweepSpec
from attnjax.sweeps.store import Pack, Sweep, metric_value, write_failure, write_result
from attnjax.sweeps.trials import Trial
from attnjax.sweeps.watcher import Watcher
from attnjax.tasks.errors import TaskError, task_code

if TYPE_CHECKING:
    from attnjax.train.packs.program import PackProgram, PackTrial
    from attnjax.train.packs.round import Ended


@dataclass
class Worker:
    """Computes packs: one program for each shape."""

    spec: SweepSpec
    sweep: Sweep
    plan: PackPlan
    programs: Programs
    watcher: Watcher = field(default_factory=Watcher)

    def __post_init__(self) -> None:
        self._keeper = KeptParams(self.spec, self.sweep, self.plan)
        self._begun = set[int]()

    def run(self, pack: Pack) -> bool:
        """Trains and evaluates the trials of a pack that have no result yet; False when SIGTERM came."""
        # A checkpoint's lanes lack trials that had failed before it and are wanted again: they come after it.
        for _ in range(2):
            ended = [number for number in pack.numbers if self.sweep.result(number) is not None]
            if len(ended) < len(pack.numbers) and not self._train(pack, ended):
                return False
            shutil.rmtree(pack.folder / "checkpoints", ignore_errors=True)
        shutil.rmtree(pack.folder, ignore_errors=True)
        return True

    def _train(self, pack: Pack, ended: Sequence[int]) -> bool:
        from attnjax.train.packs.fit import fit_pack

        search, known, trials = self.spec.search, dict[int, Trial](), self._trials(pack)
        first = next(trials, None)
        if first is None:
            return True  # None of what the search asked for can be.

        def packed() -> "Iterator[PackTrial]":
            for trial in chain([first], trials):
                known[trial.number] = trial
                yield self._packed(trial)

        try:
            program = self.programs.program(first, self.plan.layout)
            with task_code("training"):
                program.compile()
            return fit_pack(
                program,
                packed(),
                folder=pack.folder,
                # What a search asks depends on what it knew: those that ended after the checkpoint end again.
                ended=() if search else ended,
                on_begin=lambda trial: self._begin(known[trial.number]),
                on_end=lambda end: self._end(program, known[end.trial.number], end),
                on_step=lambda clock, steps: self.watcher.computed(steps),
                prune=pruner(self.spec, self.sweep, self.plan) if search and search.pruner else None,
                in_step=search is not None,
                keep_best=self.plan.weights == "best",
            )
        except TaskError as error:  # What they share has failed, and with it all that have not ended.
            for trial in chain([first], list(known.values()), trials):
                self._fail(trial, error)
            return True

    def _trials(self, pack: Pack) -> Iterator[Trial]:
        if self.spec.search is None:
            return (self.spec.trials[number] for number in pack.numbers)
        return asked_trials(
            self.spec, self.sweep, self.plan, self.programs, self.watcher.refused, pack.numbers
        )

    def _packed(self, trial: Trial) -> "PackTrial":
        file = self.sweep.trial(trial.number).metrics_file
        return packed_trial(trial, file)

    def _begin(self, trial: Trial) -> None:
        run = self.sweep.trial(trial.number)
        if not run.started:
            store.prepare_folder(run.folder)
            run.write_config(self.spec.experiment, trial.config)
        if self.sweep.result(trial.number) is None:
            self._begun.add(trial.number)
            self.watcher.started(1)

    def _fail(self, trial: Trial, error: TaskError) -> None:
        if self.sweep.result(trial.number) is not None:
            return
        from attnjax.train.metrics import MetricsFile

        if trial.number not in self._begun:
            self._begin(trial)
        run = self.sweep.trial(trial.number)
        row = MetricsFile(run.metrics_file).last()
        step = row["step"] if row else 0
        write_failure(run, step, str(error), error.details)
        self.watcher.computed(trial.config.train.steps - step)
        self.watcher.ended(trial, "failed", None, str(error))

    def _end(self, program: "PackProgram", trial: Trial, end: "Ended") -> None:
        run = self.sweep.trial(trial.number)
        if self.sweep.result(trial.number) is not None:
            return  # It ended after the checkpoint that this start went on from, and has now ended again.
        value = None
        if end.status == "done":
            try:
                value = self._finish(run, program, end)
            except TaskError as error:
                end = replace(end, status="failed", reason=str(error), details=error.details)
        if end.status == "failed":
            write_failure(run, end.step, end.reason or "", end.details, end.validation)
        elif end.status == "pruned":
            write_result(run, "pruned", end.step, reason=end.reason, validation=end.validation)
        self._keeper.after_result(trial.number, value)
        self.watcher.computed(trial.config.train.steps - end.step)  # Those that it has left will not be.
        self.watcher.ended(trial, end.status, value, end.reason)

    def _finish(self, run: Run, program: "PackProgram", end: "Ended") -> float | None:
        """Evaluates a trial that came to its last step; its metric."""
        from attnjax.tasks.rehearsal import evaluation
        from attnjax.train.adapters import merged
        from attnjax.train.hashing import params_hash
        from attnjax.train.state import count_parameters

        task, params, found = program.task, end.params, dict[str, Any](validation=end.validation)
        if self.plan.weights == "best":
            name = self.plan.monitor[0]
            if end.best is None:
                raise TaskError(f"{name} is NaN in every validation: there are no best weights")
            best = {"step": end.best.step, name: end.best.values[name]}
            params, found = merged(end.best.params), {"validation": end.best.values, "best": best}
        with task_code("evaluate"):
            metrics = evaluation(task, params, run.folder, program.hyper(end.trial))
        if self._keeper.best() is None:
            _check_metric(self.spec.metric, metrics)
        found |= {"metrics": metrics, "heads": program.heads(params)}
        value = metric_value(found, self.spec.metric, self.plan.monitor[0])
        self._keeper.before_result(task, end, value)
        digest, count = params_hash(end.params), count_parameters(end.params)
        write_result(run, "done", end.step, params_hash=digest, parameters=count, **found)
        return value


def _check_metric(metric: str | None, metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Raises InputError for a cell that the evaluation lacks; the sweep goes on with another metric."""
    cells = [f"{row}/{column}" for row, columns in metrics.items() for column in columns]
    if metric is not None and metric not in cells:
        raise InputError(f"--metric is {metric!r}: the evaluation has {', '.join(cells)}")
