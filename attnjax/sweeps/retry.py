"""Trials of a sweep that failed and are wanted again, after their code, or what it needs, was mended."""

import itertools
from pathlib import Path

from attnjax.config import InputError
from attnjax.runs.store import Run
from attnjax.sweeps.spec import SweepSpec
from attnjax.sweeps.store import Sweep, TrialRecord

FILES_THAT_STAY = {"config.json", "trial.json", "metrics.jsonl"}
"""Who the folder belongs to, and the rows, which training cuts back to where it goes on."""


def failed_trials(spec: SweepSpec, sweep: Sweep) -> list[TrialRecord]:
    """The trials of a sweep that failed, whatever the reason; InputError for those of a search."""
    if spec.search:
        raise InputError(
            f"--retry-failed: {sweep.name} is a search, and what it asked for rests on which trials had "
            "failed; --fresh starts it anew"
        )
    return [trial for trial in sweep.trials() if trial.status == "failed"]


def forget_failure(trial: TrialRecord) -> Path:
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
