"""Runs a stored config again and compares the final parameters bit for bit."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from attnjax.config import InputError
from attnjax.runs import provenance
from attnjax.runs.devices import start_jax
from attnjax.runs.placement import place, wish_of
from attnjax.runs.sources import task_of
from attnjax.runs.start import Notify, train
from attnjax.runs.store import Run, check_writable


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
    before = starts[0]
    wish = wish_of(config, devices=devices, mesh=mesh, rules=rules, began=before)
    start_jax(wish.count or before["devices"])
    from attnjax.train.hashing import params_hash

    task = task_of(config)
    placement = place(config, wish, before["devices"], notify)
    here = provenance.collect(experiment, seed=config.seed, **placement.record)
    differences = provenance.differences(before, here) + provenance.changed_code(starts, experiment)
    for line in differences:
        notify(f"this run may differ: {line}")
    with tempfile.TemporaryDirectory(prefix=f".reproduce-{run.name}-", dir=run.folder.parent) as folder:
        fitted = train(task, config, Path(folder), placement)
    actual = None if fitted.interrupted else params_hash(fitted.params)
    return Reproduction(run, result["params_hash"], actual, differences)
