"""A search as a sweep: generations of trials, each asked for when the one before has ended."""

from collections.abc import Callable, Mapping, Sequence

from attnjax.config import InputError
from attnjax.experiment import store, trials
from attnjax.experiment.search import Asker
from attnjax.experiment.sweep_spec import SweepSpec
from attnjax.experiment.sweep_store import Sweep, TrialRecord, measured, write_result
from attnjax.experiment.sweep_worker import Pack, Worker
from attnjax.experiment.trials import Trial


def run_search(spec: SweepSpec, worker: Worker) -> bool:
    """Runs generation after generation; False when SIGTERM came."""
    assert spec.search is not None
    sweep, width = worker.sweep, worker.plan.layout.width
    mode, monitor = spec.mode or worker.plan.monitor[1], worker.plan.monitor[0]
    asker = Asker(spec.search, mode, width)
    for first in range(0, spec.search.trials, width):
        before = [record for record in sweep.trials() if record.number < first]
        values = {r.number: v for r in before if (v := measured(r.result, spec.measure, monitor)) is not None}
        generation = _begin(spec, sweep, asker.generation(before, values), first)
        for group in trials.shape_groups(generation) if generation else []:
            pack = Pack(sweep.folder / "packs" / f"{group[0].number:04d}", group)
            if not worker.run(pack, _pruner(sweep, asker, before, values, group, monitor)):
                return False
    return True


def _begin(spec: SweepSpec, sweep: Sweep, asked: Sequence[trials.Changes], first: int) -> list[Trial]:
    """Notes the trials of a generation. One that the config refuses has failed: the search learns from it."""
    made = []
    for number, changes in enumerate(asked, start=first):
        sweep.write_trial(number, trials.encoded_changes(spec.config, changes))
        try:
            made.append(Trial(number, changes, trials.with_changes(spec.config, changes)))
        except InputError as error:
            run = sweep.trial(number)
            store.prepare_folder(run.folder)
            write_result(run, "failed", 0, reason=str(error))
    return made


def _pruner(
    sweep: Sweep,
    asker: Asker,
    before: Sequence[TrialRecord],
    values: Mapping[int, float],
    group: Sequence[Trial],
    monitor: str,
) -> Callable[[int, Mapping[int, Mapping[str, float]]], set[int]]:
    known = {record.number: _curve(sweep, record.number, monitor) for record in before}

    def prune(step: int, found: Mapping[int, Mapping[str, float]]) -> set[int]:
        curves = known | {trial.number: _curve(sweep, trial.number, monitor) for trial in group}
        running = {trial.number: trial.changes for trial in group}
        return asker.pruned(before, values, curves, running, step) & set(found)

    return prune


def _curve(sweep: Sweep, number: int, monitor: str) -> dict[int, float]:
    """The monitor's value at each validation of a trial, by step."""
    from attnjax.train.metrics import MetricsFile

    rows = MetricsFile(sweep.trial(number).folder / "metrics.jsonl").rows()
    return {row["step"]: row[monitor] for row in rows if row["split"] == "validation"}
