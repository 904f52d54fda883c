"""Where the packs of a sweep are computed: here, one after another, unless a launcher takes them away."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from attnjax.experiment import topology
from attnjax.experiment.run import Say
from attnjax.experiment.sweep_plan import Plan, choose_plan, pack_size
from attnjax.experiment.sweep_programs import Programs
from attnjax.experiment.sweep_spec import SweepSpec
from attnjax.experiment.sweep_store import Sweep
from attnjax.experiment.sweep_worker import Pack, Watcher, Worker
from attnjax.experiment.trials import Trial, shape_groups


class Wished(NamedTuple):
    """What the user asks of packs and of what is kept; None: what a measurement finds, and the best."""

    devices: int | None = None
    lowering: str | None = None
    width: int | None = None
    keep_params: str | None = None


ANYTHING = Wished()


class Launcher(Protocol):
    """Computes packs somewhere."""

    def plan(self, wished: Wished, begun: dict[str, Any] | None) -> Plan:
        """How packs are computed there; `begun`: the plan of a sweep that goes on. Writes nothing.

        Raises InputError for data that is not good and for a layout that cannot be.
        """

    def cut(self, group: Sequence[Trial]) -> list[Sequence[Trial]]:
        """The packs of a shape's trials: the same at every start, so that each finds its checkpoint."""

    def run(self, packs: Sequence[Pack]) -> bool:
        """Computes packs that do not depend on each other; False when it was stopped before their end."""


Launch = Callable[[SweepSpec, Sweep, Watcher, Say], Launcher]


class Local:
    """Computes packs in this process."""

    def __init__(self, spec: SweepSpec, sweep: Sweep, watcher: Watcher, say: Say) -> None:
        self._spec, self._sweep, self._watcher, self._say = spec, sweep, watcher, say
        self.programs = Programs(spec.entry)

    def plan(self, wished: Wished, begun: dict[str, Any] | None) -> Plan:
        topology.start_jax(wished.devices)
        groups = shape_groups(self._spec.some())
        devices, width = pack_size(max(map(len, groups)), wished.devices, wished.width)
        for group in groups:
            self.programs.task(group[0])
        if begun:
            self._plan = Plan.from_record(begun)
        else:
            count, asks = self._spec.count, bool(self._spec.search) and self._spec.one_shape
            plan = choose_plan(groups, self.programs, wished.lowering, devices, width, count, self._say)
            self._plan = replace(plan, asks=asks, keep_params=wished.keep_params or "best")
        return self._plan

    def cut(self, group: Sequence[Trial]) -> list[Sequence[Trial]]:
        """One pack: its lanes are never idle while a trial of the shape waits."""
        return [group]

    def run(self, packs: Sequence[Pack]) -> bool:
        worker = Worker(self._spec, self._sweep, self._plan, self.programs, self._watcher)
        return all(worker.run(pack) for pack in packs)
