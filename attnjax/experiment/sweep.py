"""A sweep from its trials to their results: packs of trials of one shape, each computed by one program.

Every trial is a run folder of the sweep's. What has a result is never run again, so starting a sweep that was
stopped, or killed, continues it: its table is the same, bit for bit, as that of one which never stopped.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from attnjax.config import InputError
from attnjax.experiment import provenance, store, topology
from attnjax.experiment.run import Say
from attnjax.experiment.store import Run
from attnjax.experiment.sweep_plan import Plan, choose_plan, pack_size
from attnjax.experiment.sweep_programs import Programs
from attnjax.experiment.sweep_search import run_search
from attnjax.experiment.sweep_spec import SweepSpec, write_spec
from attnjax.experiment.sweep_store import Sweep, read_plan
from attnjax.experiment.sweep_worker import Pack, Watcher, Worker
from attnjax.experiment.trials import Trial, shape_groups


@dataclass(frozen=True)
class SweepOutcome:
    """`finished`: no trial is left; else the next start continues."""

    sweep: Sweep
    finished: bool


def run_sweep(
    spec: SweepSpec,
    *,
    runs: Path,
    devices: int | None = None,
    lowering: str | None = None,
    width: int | None = None,
    watcher: Watcher | None = None,
    say: Say = print,
) -> SweepOutcome:
    """Runs every trial that has no result yet, in packs of one shape.

    `lowering`, `width` and `devices` are settled at the first start, by a measurement where they are not
    given, and then kept: the bits of a trial may depend on them.

    Raises InputError for what the user can mend, before anything is written: data that is not good, a folder
    that cannot be written, or that another process works on, a layout that is not the sweep's.
    """
    sweep, watcher = spec.folder(runs), watcher or Watcher()
    if _finished(spec, sweep):
        return SweepOutcome(sweep, True)
    store.check_writable(runs)
    before = read_plan(sweep)
    for name, given in (("devices", devices), ("lowering", lowering), ("width", width)):
        if before and given not in (None, before[name]):
            raise InputError(
                f"--{name} is {given}: {sweep.name} began with {before[name]}, and goes on with it"
            )
    topology.start_jax(devices or (before["devices"] if before else None))
    groups = shape_groups(spec.some())
    if before:
        devices, width = before["devices"], before["width"]
    pack_size(max(map(len, groups)), devices, width)
    programs = Programs(spec.entry)
    for group in groups:
        programs.task(group[0])
    with ExitStack() as stack:
        store.prepare_folder(sweep.folder)
        stack.enter_context(Run(sweep.folder).lock())
        if not sweep.sweep_file.is_file():
            write_spec(spec, sweep)
        plan = Plan.from_record(before) if before else None
        if plan is None:
            plan = choose_plan(groups, programs, devices=devices, lowering=lowering, width=width, say=say)
            store.write_json(sweep.plan_file, plan.record())
        provenance.record_start(
            Run(sweep.folder),
            provenance.collect(spec.entry, seed=spec.config.seed, devices=plan.layout.devices),
        )
        worker = Worker(sweep, spec.entry, plan, programs, watcher, spec.measure)
        left = spec.count - sum(trial.result is not None for trial in sweep.trials())
        watcher.begin(sweep, spec.count, left * spec.config.train.steps)
        stack.callback(watcher.close)
        if spec.search:
            finished = run_search(spec, worker)
        else:
            packs = (pack for group in groups for pack in _packs(sweep, group, plan.layout.width))
            finished = all(worker.run(pack) for pack in packs)
    return SweepOutcome(sweep, finished)


def _finished(spec: SweepSpec, sweep: Sweep) -> bool:
    if not sweep.sweep_file.is_file():
        return False
    trials = sweep.trials()
    return len(trials) == spec.count and all(trial.result for trial in trials)


def _packs(sweep: Sweep, group: Sequence[Trial], width: int) -> Iterator[Pack]:
    """Cut the same way at every start, so that a pack finds its checkpoint."""
    for start in range(0, len(group), width):
        trials = group[start : start + width]
        yield Pack(sweep.folder / "packs" / f"{trials[0].number:04d}", trials)
