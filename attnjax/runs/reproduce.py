"""Runs a stored config again and compares the final parameters bit for bit."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attnjax.config import InputError
from attnjax.runs import provenance
from attnjax.runs.devices import start_jax
from attnjax.runs.hosts import require_same_devices, require_same_program, require_shared
from attnjax.runs.placement import place, wish_of
from attnjax.runs.sources import task_of
from attnjax.runs.start import Notify, train, unsaid
from attnjax.runs.store import Run, check_writable
from attnjax.train.distributed import hosts


@dataclass(frozen=True)
class Reproduction:
    """`actual` is None when the second run was interrupted."""

    run: Run
    expected: str
    actual: str | None
    differences: list[str]

    @property
    def same(self) -> bool:
        """True if both runs ended in the same parameters."""
        return self.expected == self.actual


def reproduce(
    run: Run,
    *,
    devices: int | None = None,
    mesh: str | None = None,
    rules: str | None = None,
    notify: Notify = print,
) -> Reproduction:
    """Trains the run's config once more in a folder beside it, which is removed afterwards.

    It uses the mesh that the run did, unless told otherwise. What differs from the run's provenance and
    may change the bits is listed in `differences`.

    On several hosts (`attnjax.train.distributed.joined`) all call this together; process 0 alone notifies.

    Raises InputError when the run is not finished or a sweep's trial, its data files have changed, or its
    files are damaged.
    """
    if "status" in (run.outcome() or {}):
        raise InputError(f"{run.folder} is a trial of a sweep: expected a run, as `attnjax run` makes them")
    result = run.result()
    if result is None:
        raise InputError(f"{run.name} is not finished: there is nothing to compare with")
    experiment, config = run.load()
    run.check_files(experiment, config)
    check_writable(run.folder.parent)
    starts = provenance.starts(run)
    if not starts:
        raise InputError(f"{run.provenance_file} records no start: it is not known how {run.name} ran")
    before, main = starts[0], hosts().is_main
    options = {"--devices": devices, "--mesh": mesh, "--rules": rules}
    require_same_program(experiment, config, options)
    notify = notify if main else unsaid
    wish = wish_of(config, devices=devices, mesh=mesh, rules=rules, began=before)
    start_jax(wish.count or before["devices"])
    require_same_devices()
    from attnjax.train.hashing import params_hash

    task = task_of(config)
    placement = place(config, wish, before["devices"], notify)
    here = provenance.collect(experiment, seed=config.seed, **placement.record)
    differences = provenance.differences(before, here) + provenance.changed_code(starts, experiment)
    for line in differences:
        notify(f"this run may differ: {line}")
    with _folder_beside(run) as folder:
        fitted = train(task, config, folder, placement, None if main else ())
    actual = None if fitted.interrupted else params_hash(fitted.params)
    return Reproduction(run, result["params_hash"], actual, differences)


@contextmanager
def _folder_beside(run: Run) -> Iterator[Path]:
    """Makes a folder that all hosts see, and removes it in the end."""
    folder = Path(
        hosts().of_main(lambda: tempfile.mkdtemp(prefix=f".reproduce-{run.name}-", dir=run.folder.parent))
    )
    try:
        require_shared(folder)
        yield folder
        hosts().exchange("done")
    finally:
        if hosts().is_main:
            shutil.rmtree(folder, ignore_errors=True)
