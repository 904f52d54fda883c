"""Adaptive search by Optuna's ask and tell. The only file that touches Optuna.

A study is built anew from the trials in the sweep's folder for each question that Optuna is asked, so that no
other state can differ from the folder. The sampler of a trial is seeded by the trial's number, so a search
that was killed asks for the same trials again.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from attnjax.config import require
from attnjax.experiment.changes import Changes
from attnjax.runs import store
from attnjax.sweeps.pack_plan import PackPlan
from attnjax.sweeps.programs import Programs
from attnjax.sweeps.space import Categorical
from attnjax.sweeps.spec import Domain, Search, SweepSpec, trial_of
from attnjax.sweeps.store import Sweep, TrialRecord, metric_value, write_failure
from attnjax.sweeps.trials import Trial, decoded_changes, encoded_changes, in_shape_of, possible
from attnjax.tasks.errors import TaskError

FIRST_DRAWS = 8
"""Trials of a search from which a sweep chooses how to compute its packs."""
Refused = Callable[[int, str], None]
"""Receives the number of a trial that the config or the task refuses, and the reason."""


def first_trials(spec: SweepSpec) -> Sequence[Trial]:
    """Returns all trials of a sweep, or the first few that its search will ask for.

    They are enough to choose how to compute the sweep.

    Raises:
      InputError: the config refuses each of the first draws of the search.
    """
    if spec.search is None:
        return spec.trials
    optuna_search = OptunaSearch(spec.search, spec.mode or "max")
    drawn = [optuna_search.ask([], {}, {}, number) for number in range(min(FIRST_DRAWS, spec.search.trials))]
    found = possible(spec.config, [decoded_changes(spec.config, changes) for changes in drawn])
    require(bool(found), "--space: none of the first draws can be")
    return found


def asked_trials(
    spec: SweepSpec,
    sweep: Sweep,
    plan: PackPlan,
    programs: Programs,
    refused: Refused,
    numbers: Sequence[int],
) -> Iterator[Trial]:
    """The trials of a search's pack one by one, each asked for when it is needed.

    The first that can be settles the shape of those that follow. They are asked for by what trials before the
    pack's generation and in the pack itself have shown: the answers are the same whenever, and wherever, the
    packs beside it are computed. Those that were asked for at an earlier start come first.
    """
    shape: Trial | None = None
    for number in numbers:
        changes = sweep.asked(number)
        if changes is None:
            changes = _ask(spec, sweep, plan, numbers, number)
            if shape:
                changes = _in_shape_of(spec, changes, shape)
            sweep.write_trial(number, changes)
        try:
            trial = trial_of(spec, number, changes)
            programs.program(trial, plan.layout)
        except (ValueError, TaskError) as error:
            _refuse(sweep, number, error, refused)
            continue
        shape = shape or trial
        yield trial


def values_of(spec: SweepSpec, plan: PackPlan, records: Sequence[TrialRecord]) -> dict[int, float]:
    """The metric of each trial that has one, by number."""
    values = {record.number: metric_value(record.result, spec.metric, plan.monitor[0]) for record in records}
    return {number: value for number, value in values.items() if value is not None}


def pruner(
    spec: SweepSpec, sweep: Sweep, plan: PackPlan
) -> Callable[[Mapping[int, int], Collection[int], Collection[int]], set[int]]:
    """(steps of the trials just validated, by number; running; ended) → those that shall go no further."""
    # Validations hold the monitor, whatever trials are judged by in the end.
    monitor, better = plan.monitor
    optuna_search = OptunaSearch(_search(spec), better)

    def prune(validated: Mapping[int, int], running: Collection[int], ended: Collection[int]) -> set[int]:
        generation = _generation(plan, min([*running, *ended]))
        records = [r for r in sweep.trials() if r.number < generation or r.number in (*running, *ended)]
        before = [record for record in records if record.number not in running]
        going_on = {record.number: record.changes for record in records if record.number in running}
        curves = {record.number: record.validations(monitor) for record in records}
        return optuna_search.pruned(before, values_of(spec, plan, before), curves, going_on, validated)

    return prune


def _ask(spec: SweepSpec, sweep: Sweep, plan: PackPlan, numbers: Sequence[int], number: int) -> Changes:
    """Returns the changes that Optuna draws for trial `number` of the pack of trials `numbers`."""
    generation = _generation(plan, numbers[0])
    records = [r for r in sweep.trials() if r.number < generation or r.number in numbers]
    ended = [record for record in records if record.result is not None]
    running = {record.number: record.changes for record in records if record.result is None}
    optuna_search = OptunaSearch(_search(spec), spec.mode or plan.monitor[1])
    return optuna_search.ask(ended, values_of(spec, plan, ended), running, number)


def _search(spec: SweepSpec) -> Search:
    assert spec.search is not None
    return spec.search


def _generation(plan: PackPlan, number: int) -> int:
    """The first trial of the packs that are computed side by side with that of this one."""
    return number // plan.generation * plan.generation


def _in_shape_of(spec: SweepSpec, changes: Changes, trial: Trial) -> Changes:
    """Returns drawn changes with the values of `trial` in those fields that decide the shape."""
    drawn = decoded_changes(spec.config, changes)
    return encoded_changes(spec.config, in_shape_of(spec.config, drawn, trial.changes))


def _refuse(sweep: Sweep, number: int, error: Exception, refused: Refused) -> None:
    """Ends a trial that cannot be; not again, where an earlier start did."""
    run = sweep.trial(number)
    if sweep.result(number) is None:
        store.prepare_folder(run.folder)
        write_failure(run, 0, str(error), getattr(error, "details", None))
        refused(number, str(error))


class OptunaSearch:
    """Asks Optuna about one search; `mode` is "max" or "min"."""

    def __init__(self, search: Search, mode: str) -> None:
        import optuna

        optuna.logging.set_verbosity(logging.ERROR)
        self._optuna, self._search, self._mode = optuna, search, mode
        self._distributions = {name: self._distribution(domain) for name, domain in search.space.items()}

    def ask(
        self,
        ended: Sequence[TrialRecord],
        values: Mapping[int, float],
        running: Mapping[int, Changes],
        number: int,
    ) -> Changes:
        """The changes of the trial of this number, by others and the metrics of those that are done."""
        study = self._study(number)
        for trial in _by_number(ended):
            study.add_trial(self._told(trial, values.get(trial.number)))
        for _, changes in sorted(running.items()):
            self._asked(study, changes)
        return dict(study.ask(self._distributions).params)

    def pruned(
        self,
        ended: Sequence[TrialRecord],
        values: Mapping[int, float],
        curves: Mapping[int, Mapping[int, float]],
        running: Mapping[int, Changes],
        validated: Mapping[int, int],
    ) -> set[int]:
        """Returns the numbers of those just validated trials that should stop.

        Args:
          ended: the trials that ended before.
          values: the metric of each trial that is done, by number.
          curves: the validations of each trial so far, by step.
          running: the changes of the trials that run, by number.
          validated: the step of each trial that was just validated, by number.


        All validations are reported to a new study each time, in an order that depends on the trials alone:
        first those of trials that have ended, then by step. So the answer is the same at each start.
        """
        if self._search.pruner is None:
            return set()
        study, going_on, before = self._study(len(ended)), dict[int, Any](), {t.number: t for t in ended}
        for number in sorted([*before, *running]):
            if number in running:
                going_on[number] = self._asked(study, running[number])
            else:
                self._replay(study, before[number], values.get(number), curves[number])
        stopped = set()
        for step in sorted({step for number in running for step in curves[number]}):
            for number, trial in going_on.items():
                if step in curves[number]:
                    trial.report(curves[number][step], step)
                    if trial.should_prune() and validated.get(number) == step:
                        stopped.add(number)
        return stopped

    def _study(self, seed: int) -> Any:
        optuna, seed = self._optuna, self._search.seed + seed
        samplers = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }
        pruners = {
            None: optuna.pruners.NopPruner,
            "median": optuna.pruners.MedianPruner,
            "halving": optuna.pruners.SuccessiveHalvingPruner,
            "hyperband": optuna.pruners.HyperbandPruner,
        }
        return optuna.create_study(
            study_name="search",
            direction="maximize" if self._mode == "max" else "minimize",
            sampler=samplers[self._search.sampler](),
            pruner=pruners[self._search.pruner](),
        )

    def _asked(self, study: Any, changes: Changes) -> Any:
        study.enqueue_trial(changes)
        return study.ask(self._distributions)

    def _replay(
        self, study: Any, record: TrialRecord, value: float | None, curve: Mapping[int, float]
    ) -> None:
        """Adds a trial that has ended. Halving has to see it again: it notes how far each trial came."""
        if not curve or self._search.pruner == "median":
            study.add_trial(self._told(record, value, curve))
            return
        trial = self._asked(study, {name: record.changes[name] for name in self._distributions})
        for step, value_then in sorted(curve.items()):
            trial.report(value_then, step)
            trial.should_prune()
        state, told = self._state(record, value)
        study.tell(trial, told, state=state)

    def _told(
        self, record: TrialRecord, value: float | None, curve: Mapping[int, float] | None = None
    ) -> Any:
        state, told = self._state(record, value)
        return self._optuna.trial.create_trial(
            state=state,
            value=told,
            params={name: record.changes[name] for name in self._distributions},
            distributions=self._distributions,
            intermediate_values=dict(curve or {}),
        )

    def _state(self, record: TrialRecord, value: float | None) -> tuple[Any, float | None]:
        """Returns the state of a trial in Optuna's terms, and its value.

        A failed trial is reported as pruned: samplers ignore trials in the state FAIL.
        """
        states = self._optuna.trial.TrialState
        if record.status == "done" and value is not None:
            return states.COMPLETE, value
        return states.PRUNED, None

    def _distribution(self, domain: Domain) -> Any:
        kinds = self._optuna.distributions
        if isinstance(domain, Categorical):
            return kinds.CategoricalDistribution(domain.values)
        if domain.integer:
            return kinds.IntDistribution(int(domain.low), int(domain.high), log=domain.log)
        return kinds.FloatDistribution(domain.low, domain.high, log=domain.log)


def _by_number(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    return sorted(records, key=lambda record: record.number)
