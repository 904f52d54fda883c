"""Launchers: objects that compute the packs of a sweep, in this process or elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, get_args

from attnjax.config import InputError, require
from attnjax.runs.devices import start_jax
from attnjax.runs.start import Notify, Weights
from attnjax.runs.weights import default_weights
from attnjax.sweeps.pack_plan import PackPlan, choose_plan, pack_size, training_seconds
from attnjax.sweeps.programs import Programs
from attnjax.sweeps.search import first_trials
from attnjax.sweeps.spec import SweepSpec
from attnjax.sweeps.store import Pack, Sweep
from attnjax.sweeps.trials import Trial, make_trials, refusal, shape_groups, shown
from attnjax.sweeps.watcher import Watcher
from attnjax.sweeps.worker import Worker
from attnjax.tasks.errors import TaskError

if TYPE_CHECKING:
    from attnjax.train.packs.program import PackLayout


def without_refused(spec: SweepSpec, devices: int | None) -> tuple[SweepSpec, list[str]]:
    """The sweep without the trials whose task cannot be made, and a line for each of their shapes."""
    start_jax(devices)
    groups = shape_groups(spec.trials)
    refused = _refusals(groups, Programs(spec).faults(groups), InputError)
    left_out = {trial.number for place in refused for trial in groups[place]}
    if not left_out or len(left_out) == len(spec.trials):
        return spec, []
    kept = [trial.changes for trial in spec.trials if trial.number not in left_out]
    trials, _ = make_trials(spec.config, kept, skip_invalid=False)
    return replace(spec, trials=trials), list(refused.values())


def _refusals(
    groups: Sequence[Sequence[Trial]], faults: Mapping[int, Exception], kind: type[Exception] = Exception
) -> dict[int, str]:
    """A line for each group that has a fault of this kind, by the group's place."""
    return {
        place: f"{shown(groups[place][0].changes)}: {error}"
        for place, error in faults.items()
        if isinstance(error, kind)
    }


MIN_SEARCH_ROUNDS = 8
"""A search computes at most 1/8 of its trials at a time, so that later trials learn from earlier ones."""
MIN_SEARCH_PACKS = 16
"""A search over several shapes is cut into at least this many packs, unless devices would be idle."""
MAX_TRIALS_PER_LANE = 2
"""A pack of a search over several shapes computes at most this many trials in turn in each lane."""


class PackOptions(NamedTuple):
    """The user's options on packs and on kept parameters.

    An option that is None is chosen by a measurement; the parameters of the best trial are kept, and what is
    evaluated the experiment says.
    """

    devices: int | None = None
    batching: str | None = None
    width: int | None = None
    keep_params: str | None = None
    weights: Weights | None = None


DEFAULT_PACK_OPTIONS = PackOptions()


class Launcher(Protocol):
    """Computes packs somewhere."""

    def plan(self, pack_options: PackOptions, existing: dict[str, Any] | None) -> PackPlan:
        """Returns how packs are computed there. Writes nothing.

        Args:
          pack_options: the user's options.
          existing: the record of the plan of a sweep that goes on, else None.

        Raises InputError for data that is not good, for a layout that cannot be, and for an experiment whose
        code fails whatever the trial.
        """

    def cut(self, group: Sequence[Trial]) -> list[Sequence[Trial]]:
        """The packs of a shape's trials: the same at every start, so that each finds its checkpoint."""

    def run(self, packs: Sequence[Pack]) -> bool:
        """Computes packs that do not depend on each other; False when it was stopped before their end."""


Launch = Callable[[SweepSpec, Sweep, Watcher, Notify], Launcher]


class LocalLauncher:
    """Computes packs in this process, `alone` or beside others: a search is one pack where it can be."""

    def __init__(
        self, spec: SweepSpec, sweep: Sweep, watcher: Watcher, notify: Notify, *, alone: bool = True
    ) -> None:
        self._spec, self._sweep, self._watcher, self._notify = spec, sweep, watcher, notify
        self._one_pack = alone and spec.one_shape
        self.programs = Programs(spec)

    def plan(self, pack_options: PackOptions, existing: dict[str, Any] | None) -> PackPlan:
        """Returns how packs are computed in this process."""
        start_jax(pack_options.devices)
        groups = shape_groups(first_trials(self._spec))
        devices, width = pack_size(self._at_a_time(groups), pack_options.devices, pack_options.width)
        faults = self.programs.faults(groups)
        refused = _refusals(groups, faults, InputError)
        if len(faults) == len(groups):
            self._refuse(groups, _refusals(groups, faults))
        elif refused and not self._spec.search:
            self._refuse(groups, refused)
        self.groups = [group for place, group in enumerate(groups) if place not in faults]
        for note in getattr(self.programs.task(self.groups[-1][0]), "notes", ()):
            self._notify(note)
        if existing:
            self._plan = PackPlan.from_record(existing)
        else:
            weights = _weights(pack_options, self._spec.config)
            self._rehearse()
            count = self._spec.count
            plan = choose_plan(
                self.groups, self.programs, pack_options.batching, devices, width, count, self._notify
            )
            per_pack = self._per_pack(plan) if self._spec.search else 0
            keep = pack_options.keep_params or "best"
            self._plan = replace(plan, per_pack=per_pack, keep_params=keep, weights=weights)
        return self._plan

    def _refuse(self, groups: Sequence[Sequence[Trial]], refused: Mapping[int, str]) -> NoReturn:
        count = sum(len(groups[place]) for place in refused)
        raise InputError(refusal(list(refused.values()), count, sum(map(len, groups))))

    def _rehearse(self) -> None:
        """Leaves out groups whose task training cannot use, from the largest to the first that it can.

        InputError where there is none. The trials of those left out will fail, and the others go on.
        """
        groups, faults = self.groups, dict[int, Exception]()
        for place in sorted(range(len(groups)), key=lambda place: -len(groups[place])):
            try:
                self.programs.rehearse(groups[place][0])
                break
            except TaskError as error:
                faults[place] = error
        else:
            self._refuse(groups, _refusals(groups, faults))
        self.groups = [group for place, group in enumerate(groups) if place not in faults]

    def _at_a_time(self, groups: Sequence[Sequence[Trial]]) -> int:
        """Returns the largest number of trials to compute at a time; a search learns from trials before."""
        import jax

        count = self._spec.count
        if self._spec.search is None:
            return max(map(len, groups))
        lanes = count // (MIN_SEARCH_ROUNDS if self._one_pack else MAX_TRIALS_PER_LANE * MIN_SEARCH_PACKS)
        return max(lanes, min(count, len(jax.devices())))

    def _per_pack(self, plan: PackPlan) -> int:
        count, layout = self._spec.count, plan.layout
        if self._one_pack:
            return count
        return min(
            MAX_TRIALS_PER_LANE * layout.width,
            max(count // MIN_SEARCH_PACKS, min(layout.devices, count // MIN_SEARCH_ROUNDS), 1),
        )

    def cut(self, group: Sequence[Trial]) -> list[Sequence[Trial]]:
        """One pack: its lanes are never idle while a trial of the shape waits."""
        return [group]

    def run(self, packs: Sequence[Pack]) -> bool:
        """Computes packs one after another; False when it was stopped before their end."""
        worker = Worker(self._spec, self._sweep, self._plan, self.programs, self._watcher)
        return all(worker.run(pack) for pack in packs)


def _weights(pack_options: PackOptions, config: Any) -> Weights:
    """Returns which weights of a trial are evaluated. Raises InputError where its experiment says a mean."""
    weights: Any = pack_options.weights or default_weights(config)
    known = get_args(Weights)
    require(
        weights in known,
        f"{type(config).__name__}.weights is {weights!r}: a sweep evaluates {' or '.join(known)}; "
        "expected --weights with one of them",
    )
    return weights  # type: ignore[no-any-return]


class DryRun(NamedTuple):
    """The outcome of a dry run: the trials by shape, the layout of packs, and an estimate of the time.

    `seconds` is the time of the training of all trials, without evaluations.
    """

    groups: Sequence[Sequence[Trial]]
    layout: "PackLayout"
    seconds: float


def dry_run(spec: SweepSpec, sweep: Sweep, pack_options: PackOptions, notify: Notify) -> DryRun:
    """Measures a step of the largest group here and estimates how long the sweep takes. Writes nothing."""
    launcher = LocalLauncher(spec, sweep, Watcher(), notify)
    plan = launcher.plan(pack_options, None)
    seconds = training_seconds(plan, launcher.groups, launcher.programs, notify)
    # The groups of a search hold only its first trials.
    seconds *= spec.count / sum(map(len, launcher.groups))
    return DryRun(launcher.groups, plan.layout, seconds)
