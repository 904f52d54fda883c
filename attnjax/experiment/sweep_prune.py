"""Which trials of a pack stop early: Optuna's answer, from what lies in the sweep's folder alone."""

from collections.abc import Callable, Mapping, Sequence

from attnjax.experiment.search import Asker
from attnjax.experiment.sweep_plan import Plan
from attnjax.experiment.sweep_spec import SweepSpec
from attnjax.experiment.sweep_store import Sweep, TrialRecord, measured
from attnjax.experiment.trials import Trial


def asker_of(spec: SweepSpec, plan: Plan) -> Asker:
    """Asks for generations as wide as a pack."""
    assert spec.search is not None
    return Asker(spec.search, spec.mode or plan.monitor[1], plan.layout.width)


def ended_before(
    spec: SweepSpec, sweep: Sweep, plan: Plan, first: int
) -> tuple[list[TrialRecord], dict[int, float]]:
    """The trials of all generations before that of trial `first`, and their measures."""
    before = [record for record in sweep.trials() if record.number < first]
    values = {r.number: measured(r.result, spec.measure, plan.monitor[0]) for r in before}
    return before, {number: value for number, value in values.items() if value is not None}


def pruner(
    spec: SweepSpec, sweep: Sweep, plan: Plan, group: Sequence[Trial]
) -> Callable[[int, Mapping[int, Mapping[str, float]]], set[int]]:
    """(step, validations) → the numbers of the trials of one pack that shall go no further."""
    asker, width, monitor = asker_of(spec, plan), plan.layout.width, plan.monitor[0]
    before, values = ended_before(spec, sweep, plan, group[0].number // width * width)
    running = {trial.number: trial.changes for trial in group}

    def prune(step: int, found: Mapping[int, Mapping[str, float]]) -> set[int]:
        of_pack = [record for record in sweep.trials() if record.number in running]
        curves = {record.number: record.validations(monitor) for record in (*before, *of_pack)}
        return asker.pruned(before, values, curves, running, step) & set(found)

    return prune
