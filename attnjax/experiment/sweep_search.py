"""A search as a sweep: each trial asked for when a lane is free, or in generations that fill all packs."""

from attnjax.experiment import trials
from attnjax.experiment.sweep_ask import asked, asked_trials, asker_of, values_of
from attnjax.experiment.sweep_launch import Launcher
from attnjax.experiment.sweep_plan import Plan
from attnjax.experiment.sweep_spec import SweepSpec
from attnjax.experiment.sweep_store import Sweep
from attnjax.experiment.sweep_worker import Pack, Watcher


def run_search(spec: SweepSpec, sweep: Sweep, plan: Plan, launcher: Launcher, watcher: Watcher) -> bool:
    """Runs all trials; False when SIGTERM came first.

    Trials of one shape are one pack that asks as it goes. Where the space has several shapes, or a launcher
    takes packs away, a generation is asked for when the one before has ended.
    """
    if plan.asks:
        first = next(asked_trials(spec, sweep, plan, watcher.refused), None)
        return first is None or launcher.run([Pack.of(sweep, [first], asks=True)])
    return _by_generations(spec, sweep, plan, launcher, watcher)


def _by_generations(spec: SweepSpec, sweep: Sweep, plan: Plan, launcher: Launcher, watcher: Watcher) -> bool:
    asker, generation = asker_of(spec, plan), plan.generation
    for first in range(0, spec.count, generation):
        before = [record for record in sweep.trials() if record.number < first]
        found = asker.ask(before, values_of(spec, plan, before), {}, min(generation, spec.count - first))
        numbered = enumerate(found, start=first)
        made = [asked(spec, sweep, number, changes, watcher.refused) for number, changes in numbered]
        groups = trials.shape_groups(trial for trial in made if trial)
        if not launcher.run([Pack.of(sweep, pack) for group in groups for pack in launcher.cut(group)]):
            return False
    return True
