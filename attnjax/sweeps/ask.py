"""What a search asks Optuna, and what it tells: no more than lies in the sweep's folder."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from attnjax.runs import store
from attnjax.sweeps.plan import PackPlan
from attnjax.sweeps.programs import Programs
from attnjax.sweeps.search import OptunaSearch, Search
from attnjax.sweeps.space import Changes
from attnjax.sweeps.spec import SweepSpec, trial_of
from attnjax.sweeps.store import Sweep, TrialRecord, metric_value, write_failure
from attnjax.sweeps.trials import Trial, decoded_changes, encoded_changes, in_shape_of
from attnjax.tasks.errors import TaskError

Refused = Callable[[int, str], None]
"""Told the number of a trial that cannot be, and why."""


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
    """What Optuna draws as this trial of the pack that has these numbers."""
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
    """What was drawn, with the fields that make a shape as the trial has them."""
    drawn = decoded_changes(spec.config, changes)
    return encoded_changes(spec.config, in_shape_of(spec.config, drawn, trial.changes))


def _refuse(sweep: Sweep, number: int, error: Exception, refused: Refused) -> None:
    """Ends a trial that cannot be; not again, where an earlier start did."""
    run = sweep.trial(number)
    if sweep.result(number) is None:
        store.prepare_folder(run.folder)
        write_failure(run, 0, str(error), getattr(error, "details", None))
        refused(number, str(error))
