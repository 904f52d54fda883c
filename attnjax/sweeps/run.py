"""A sweep from its trials to their results: packs of trials of one shape, each computed by one program.

Every trial is a run folder of the sweep's. What has a result is never run again, so starting a sweep that was
stopped, or killed, continues it: its table is the same, bit for bit, as that of one which never stopped.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnjax.config import InputError, require
from attnjax.runs import provenance, store
from attnjax.runs.start import Notify
from attnjax.runs.store import Run
from attnjax.sweeps.kept_params import KeptParams
from attnjax.sweeps.launch import DEFAULT_PACK_OPTIONS, Launch, Launcher, LocalLauncher, PackOptions
from attnjax.sweeps.pack_plan import PackPlan
from attnjax.sweeps.spec import SweepSpec, check_owner, note_metric, write_spec
from attnjax.sweeps.store import Pack, Sweep, TrialRecord, read_plan
from attnjax.sweeps.trials import shape_groups
from attnjax.sweeps.watcher import Watcher

FILES_THAT_STAY = {"config.json", "trial.json", "metrics.jsonl"}
"""Who the folder belongs to, and the rows, which training cuts back to where it goes on."""


@dataclass(frozen=True)
class SweepOutcome:
    """`finished`: no trial is left; else the next start continues."""

    sweep: Sweep
    finished: bool


def run_sweep(
    spec: SweepSpec,
    sweep: Sweep,
    *,
    pack_options: PackOptions = DEFAULT_PACK_OPTIONS,
    launch: Launch = LocalLauncher,
    watcher: Watcher | None = None,
    accept_changed_code: bool = False,
    fresh: bool = False,
    retry_failed: bool = False,
    notify: Notify = print,
) -> SweepOutcome:
    """Runs every trial that has no result yet, in packs of one shape, in the folder of `sweep`.

    `pack_options` that are None are settled at the first start, by a measurement, and then kept: the bits of
    a trial may depend on them. A `fresh` sweep begins anew; the folder of the one before is renamed.
    With `retry_failed`, trials that failed run again; why they failed is kept in their folders.

    Raises InputError for what the user can mend, before anything is written: data that is not good, a folder
    that cannot be written, belongs to another sweep, or that another process works on, a layout that is not
    the sweep's, code that has changed since the sweep was begun unless that is accepted, failed trials of a
    search to be run again.
    """
    require(not (fresh and retry_failed), "--fresh and --retry-failed: expected one of them")
    watcher = watcher or Watcher()
    check_owner(spec, sweep)
    going_on = sweep.sweep_file.is_file() and not fresh
    failed = _failed_trials(spec, sweep) if going_on and retry_failed else []
    if going_on and any(Run(record.folder).trained for record in sweep.trials()):
        provenance.require_same_code(
            Run(sweep.folder), spec.experiment, accept=accept_changed_code, notify=notify
        )
        if _finished(spec, sweep) and not failed:
            _same_options(sweep, PackOptions(weights=pack_options.weights), read_plan(sweep))
            note_metric(spec, sweep)
            return SweepOutcome(sweep, True)
    store.check_writable(sweep.folder)
    existing = read_plan(sweep) if going_on else None
    launcher = launch(spec, sweep, watcher, notify)
    plan = launcher.plan(_same_options(sweep, pack_options, existing), existing)
    with ExitStack() as stack:
        if fresh and sweep.folder.is_dir():
            with Run(sweep.folder).lock():
                notify(f"the sweep before is kept as {store.set_aside(sweep.folder)}")
        store.prepare_folder(sweep.folder)
        stack.enter_context(Run(sweep.folder).lock())
        if read_plan(sweep) != existing:
            raise InputError(f"another process has begun {sweep.name} meanwhile: start again to join in")
        write_spec(spec, sweep)
        if not existing:
            store.write_json(sweep.plan_file, plan.record())
        here = provenance.collect(spec.experiment, seed=spec.config.seed, devices=plan.layout.devices)
        provenance.record_start(Run(sweep.folder), here, notify)
        for trial in failed:
            place = _forget_failure(trial)
            notify(f"trial {trial.number} runs again; what is left of its failure: {place}")
        packs = f"packs of {plan.layout.width} ({plan.layout.batching})"
        where = f"{plan.layout.devices} {here['platform']} device(s)"
        notify(f"{sweep.name} in {sweep.folder}: {spec.count} trials in {packs} on {where}")
        watcher.begin(sweep, spec.count, _steps_left(spec, sweep))
        stack.callback(watcher.close)
        rounds = _generations(spec, plan) if spec.search else [_packs(spec, launcher)]
        finished = all(launcher.run([Pack.of(sweep, numbers) for numbers in packs]) for packs in rounds)
        if finished:
            KeptParams(spec, sweep, plan).tidy()
    return SweepOutcome(sweep, finished)


def _failed_trials(spec: SweepSpec, sweep: Sweep) -> list[TrialRecord]:
    """The trials of a sweep that failed, whatever the reason; InputError for those of a search."""
    if spec.search:
        raise InputError(
            f"--retry-failed: {sweep.name} is a search, and what it asked for rests on which trials had "
            "failed; --fresh starts it anew"
        )
    return [trial for trial in sweep.trials() if trial.status == "failed"]


def _forget_failure(trial: TrialRecord) -> Path:
    """Moves reason, traceback and whatever else a trial left to a folder in its own: it then waits again.

    Returns that folder: failed-1, or the next that is free. The reason moves last, so a trial that was killed
    on the way is still a failed one.
    """
    places = (trial.folder / f"failed-{i}" for i in itertools.count(1))
    place = next(place for place in places if not Run(place).result_file.exists())
    place.mkdir(exist_ok=True)
    result = Run(trial.folder).result_file
    for file in list(trial.folder.iterdir()):
        if file.name not in FILES_THAT_STAY and file != result and not file.name.startswith("failed-"):
            file.rename(place / file.name)
    result.rename(Run(place).result_file)
    return place


def _packs(spec: SweepSpec, launcher: Launcher) -> list[Sequence[int]]:
    """The numbers of the trials of each pack."""
    packs = [pack for group in shape_groups(spec.trials) for pack in launcher.cut(group)]
    return [[trial.number for trial in pack] for pack in packs]


def _generations(spec: SweepSpec, plan: PackPlan) -> Iterator[list[Sequence[int]]]:
    """The same for packs of a search, those together that are computed side by side."""
    for start in range(0, spec.count, plan.generation):
        numbers = range(start, min(start + plan.generation, spec.count))
        yield [numbers[i : i + plan.per_pack] for i in range(0, len(numbers), plan.per_pack)]


def _steps_left(spec: SweepSpec, sweep: Sweep) -> int:
    """Of the trials without a result; a search asks for trials as long as the base config."""
    ended = {trial.number for trial in sweep.trials() if trial.result}
    if spec.search:
        return (spec.count - len(ended)) * spec.config.train.steps
    return sum(trial.config.train.steps for trial in spec.trials if trial.number not in ended)


def _same_options(sweep: Sweep, pack_options: PackOptions, existing: dict[str, Any] | None) -> PackOptions:
    """The layout of a sweep that goes on; InputError where another is wished for."""
    if not existing:
        return pack_options
    for name, value in pack_options._asdict().items():
        if value not in (None, existing[name]):
            flag = name.replace("_", "-")
            raise InputError(
                f"--{flag} is {value}: {sweep.name} began with {existing[name]}, and goes on with it; "
                "--fresh starts it anew"
            )
    return PackOptions(**{name: existing[name] for name in PackOptions._fields})


def _finished(spec: SweepSpec, sweep: Sweep) -> bool:
    trials = sweep.trials()
    return len(trials) == spec.count and all(trial.result for trial in trials)
