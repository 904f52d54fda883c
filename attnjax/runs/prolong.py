"""A longer run that begins where a shorter one of the same config stands."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnjax.config import InputError, require
from attnjax.experiment.registry import Experiment
from attnjax.runs import store
from attnjax.runs.store import Run
from attnjax.train.config import ENDLESS_SCHEDULES

NOT_COPIED = ("config.json", "result.json", "sinks.json", "report", "tensorboard", "wandb", ".lock")
"""Files of the shorter run that the longer one does not get."""


def prolonged(run: Run, steps: int, runs: Path) -> tuple[Experiment, Any]:
    """The experiment and the config of `run` with more `steps`, and its folder made to go on from there.

    The folder gets the checkpoints, rows and starts of `run`, which stays as it is; then the parameters are
    those of a run that had so many steps from the beginning. One that has begun already is left as it is.

    Raises InputError where the schedule does not allow that, for a run without a checkpoint, for no more
    steps than it has, and while another process works on it.
    """
    experiment, config = run.load()
    train = config.train
    require(
        train.schedule in ENDLESS_SCHEDULES,
        f"{run.name} cannot be prolonged: its learning rate ({train.schedule}) falls to 0 at step "
        f"{train.steps}, and that of a longer run falls otherwise; runs with "
        "--train.schedule constant can be",
    )
    require(steps > train.steps, f"--train.steps is {steps}: {run.name} has {train.steps}, expected more")
    longer = replace(config, train=replace(train, steps=steps))
    there = store.run_for(experiment, longer, runs)
    if there.started:
        return experiment, longer
    run.check_files(experiment, config)
    require(any(run.folder.glob("checkpoints/*")), f"{run.name} has no checkpoint to go on from")
    store.prepare_folder(runs)
    # A folder that is half copied must not be taken for a run: it gets its name when it is whole.
    with run.lock(shared=True), tempfile.TemporaryDirectory(prefix=".prolong-", dir=runs) as place:
        new = Run(Path(place) / there.name)
        shutil.copytree(run.folder, new.folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
        new.write_config(experiment, longer)
        if there.folder.exists():
            raise InputError(f"{there.folder} is in the way: it is no run, move it away")
        os.rename(new.folder, there.folder)
    return experiment, longer
