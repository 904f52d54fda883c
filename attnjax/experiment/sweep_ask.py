"""What a search asks Optuna, and what it tells: no more than lies in the sweep's folder."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from attnjax.experiment import store
from attnjax.experiment.search import Asker
from attnjax.experiment.space import Changes
from attnjax.experiment.sweep_plan import Plan
from attnjax.experiment.sweep_spec import SweepSpec
from attnjax.experiment.sweep_store import Sweep, TrialRecord, measured, write_result
from attnjax.experiment.trials import Trial, decoded_changes, encoded_changes, with_changes


def asker_of(spec: SweepSpec, plan: Plan) -> Asker:
    """Knows which end of the measure is better."""
    assert spec.search is not None
    return Asker(spec.search, spec.mode or plan.monitor[1])


Refused = Callable[[int, str], None]
"""Told the number of a trial that cannot be, and why."""


def asked_trials(spec: SweepSpec, sweep: Sweep, plan: Plan, refused: Refused) -> Iterator[Trial]:
    """The trials of a search one by one, each asked for when it is needed, by what all before it have shown.

    Those that were asked for at an earlier start come first.
    """
    asker = asker_of(spec, plan)
    for number in range(spec.count):
        records = sweep.trials()
        known = {record.number: record.changes for record in records}
        if number in known:
            changes = known[number]
        else:
            ended = [record for record in records if record.result is not None]
            running = {record.number: record.changes for record in records if record.result is None}
            (changes,) = asker.ask(ended, values_of(spec, plan, ended), running, 1)
        if trial := asked(spec, sweep, number, changes, refused):
            yield trial


def asked(spec: SweepSpec, sweep: Sweep, number: int, changes: Changes, refused: Refused) -> Trial | None:
    """Notes a trial of a search, its changes as JSON holds them. One that the config refuses has failed."""
    changes = decoded_changes(spec.config, changes)
    sweep.write_trial(number, encoded_changes(spec.config, changes))
    try:
        return Trial(number, changes, with_changes(spec.config, changes))
    except ValueError as error:
        refuse(sweep, number, str(error), refused)
        return None


def refuse(sweep: Sweep, number: int, reason: str, refused: Refused) -> None:
    """Ends a trial that cannot be; not again, where an earlier start did."""
    run = sweep.trial(number)
    if sweep.result(number) is None:
        store.prepare_folder(run.folder)
        write_result(run, "failed", 0, reason=reason)
        refused(number, reason)


def values_of(spec: SweepSpec, plan: Plan, records: Sequence[TrialRecord]) -> dict[int, float]:
    """The measure of each trial that has one, by number."""
    values = {record.number: measured(record.result, spec.measure, plan.monitor[0]) for record in records}
    return {number: value for number, value in values.items() if value is not None}


def pruner(
    spec: SweepSpec, sweep: Sweep, plan: Plan
) -> Callable[[Mapping[int, int], Collection[int], Collection[int]], set[int]]:
    """(steps of the trials just validated, by number; running; ended) → those that shall go no further."""
    assert spec.search is not None
    # Validations hold the monitor, whatever trials are judged by in the end.
    monitor, better = plan.monitor
    asker = Asker(spec.search, better)
    generation = spec.count if plan.asks else plan.generation

    def prune(validated: Mapping[int, int], running: Collection[int], ended: Collection[int]) -> set[int]:
        first = min([*running, *ended]) // generation * generation
        records = [r for r in sweep.trials() if r.number < first or r.number in (*running, *ended)]
        before = [record for record in records if record.number not in running]
        going_on = {record.number: record.changes for record in records if record.number in running}
        curves = {record.number: record.validations(monitor) for record in records}
        return asker.pruned(before, values_of(spec, plan, before), curves, going_on, validated)

    return prune
