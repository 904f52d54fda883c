"""A search as a sweep: generations of trials, each asked for when the one before has ended."""

from collections.abc import Sequence

from attnjax.config import InputError
from attnjax.experiment import store, trials
from attnjax.experiment.sweep_launch import Launcher
from attnjax.experiment.sweep_plan import Plan
from attnjax.experiment.sweep_prune import asker_of, ended_before
from attnjax.experiment.sweep_spec import SweepSpec
from attnjax.experiment.sweep_store import Sweep, write_result
from attnjax.experiment.sweep_worker import Pack
from attnjax.experiment.trials import Trial


def run_search(spec: SweepSpec, sweep: Sweep, plan: Plan, launcher: Launcher) -> bool:
    """Runs generation after generation; False when SIGTERM came."""
    asker = asker_of(spec, plan)
    for first in range(0, spec.count, plan.layout.width):
        asked = asker.generation(*ended_before(spec, sweep, plan, first))
        generation = _begin(spec, sweep, asked, first)
        groups = trials.shape_groups(generation) if generation else []
        if not launcher.run([Pack.of(sweep, group) for group in groups]):
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
