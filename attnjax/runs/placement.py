"""The mesh of a run: what the command, an earlier start and the config ask for, and what there is."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from attnjax.config import BATCH_AXES, InputError, require
from attnjax.runs.devices import choose_devices, make_mesh, start_jax
from attnjax.runs.provenance import Notify
from attnjax.train.distributed import hosts
from attnjax.train.mesh import (
    AUTO,
    REPLICATED,
    MeshShape,
    Rules,
    fill_mesh,
    read_mesh,
    read_rules,
    write_rules,
)

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True)
class Wish:
    """The devices of a run as somebody asks for them."""

    devices: int | None
    """Their number; None: all."""
    sizes: Mapping[str, int | None] | None
    """Of the axes of the mesh, by `read_mesh`; None: there is an axis "data" alone."""
    rules: Rules
    """The split of parameters over the mesh."""

    @property
    def count(self) -> int | None:
        """The number of devices that it needs; None where that follows from those that are there."""
        sizes = [None] if self.sizes is None else list(self.sizes.values())
        return self.devices or (None if None in sizes else math.prod(size or 1 for size in sizes))


@dataclass(frozen=True)
class Placement:
    """The mesh of a run, and what is split over it."""

    shape: MeshShape
    rules: Rules

    @property
    def record(self) -> dict[str, Any]:
        """The number of devices, and the mesh and the rules in words, as the provenance of a run has them."""
        words = {"mesh": str(self.shape), "rules": write_rules(self.rules)}
        return {"devices": self.shape.devices, "placed": words}

    def mesh(self) -> "jax.sharding.Mesh | None":
        """Returns the mesh of the first devices; None for a single one."""
        return make_mesh(self.shape)

    def reading(self) -> AbstractContextManager[Any]:
        """Returns the context in which a trained model answers, so that its layers know the mesh."""
        import jax

        mesh = self.mesh()
        return nullcontext() if mesh is None else jax.set_mesh(mesh)


ALONE = Placement(MeshShape(), REPLICATED)
"""One device, which is where trained models answer unless somebody asks for more."""


def wish_of(
    config: Any,
    *,
    devices: int | None = None,
    mesh: str | None = None,
    rules: str | None = None,
    began: Mapping[str, Any] | None = None,
) -> Wish:
    """Returns the devices that a start of a run asks for.

    What the command asks for goes first, then the first start of the run, then `mesh` and `rules` of the
    config.

    Args:
      config: of the experiment; its class may have the attributes `mesh` and `rules`, texts as on the command
        line. They are no fields, as they change no result beyond rounding and so not which run it is.
      devices: number that the command asks for.
      mesh: text of the command.
      rules: text of the command.
      began: the provenance of the start that the run began with.

    Raises:
      InputError: a text is not a mesh, or no rules.
    """
    asked = (devices, mesh, rules) != (None, None, None)
    if began is not None and not asked:
        mesh, rules = began.get("mesh"), began.get("rules")
        if rules in (None, "replicated") and (
            mesh is None or MeshShape(data=began["devices"]) == _shape(mesh)
        ):
            return Wish(None, None, REPLICATED)
    mesh = mesh or (getattr(config, "mesh", None) if devices is None else None)
    rules = rules or getattr(config, "rules", None)
    split = REPLICATED if rules is None else read_rules(rules)
    if mesh is None and split:
        mesh = AUTO
    return Wish(devices, None if mesh is None else read_mesh(mesh, split), split)


def choose_placement(
    wish: Wish, batch_size: int, began_with: int | None = None
) -> tuple[Placement, str | None]:
    """Returns the mesh for a (micro-)batch, and a note if it does not have all devices that it might.

    Args:
      wish: for devices.
      batch_size: of a micro-batch.
      began_with: the number of devices that the run began with, for a wish that names neither it nor a mesh.

    Raises:
      InputError: there are fewer devices, or the batch is not split evenly, with the nearest mesh that fits.
    """
    if wish.sizes is None:
        used, note = choose_devices(batch_size, wish.devices, began_with)
        return Placement(MeshShape(data=used), wish.rules), note
    shape = _shape_of(wish.sizes, wish.devices)
    free = [name for name, size in wish.sizes.items() if size is None and name in BATCH_AXES]
    for name in free if batch_size % shape.batch_shards else ():
        sizes = range(shape.sizes[name], 0, -1)
        smaller = [replace(shape, **{name: size}) for size in sizes]
        fitting = [one for one in smaller if batch_size % one.batch_shards == 0]
        if fitting:
            note = f"a (micro-)batch of {batch_size} does not divide over {shape}: using {fitting[0]}"
            return Placement(fitting[0], wish.rules), note
    count = hosts().count
    require(
        shape.batch_shards % count == 0,
        f"mesh {shape} on {count} hosts: data · fsdp is {shape.batch_shards}, expected a multiple of {count}",
    )
    return Placement(shape.require_batch(batch_size), wish.rules), None


def place(config: Any, wish: Wish, began_with: int | None, notify: Notify) -> Placement:
    """Returns the mesh for a config and its rules; says when that is not what was wished for."""
    placement, note = choose_placement(wish, config.train.batch_size // config.train.accumulate, began_with)
    if note:
        notify(note)
    return placement


def place_reader(devices: int | None, mesh: str | None, rules: str | None) -> Placement:
    """Returns the mesh on which a trained model answers, and starts jax on its devices.

    Args:
      devices: their number.
      mesh: text of the command.
      rules: text of the command; None of all of them is one device.

    Raises:
      InputError: a text is not a mesh, or no rules, or there are fewer devices.
    """
    wish = wish_of(None, devices=devices or (None if mesh or rules else 1), mesh=mesh, rules=rules)
    start_jax(wish.count)
    sizes = wish.sizes or {"data": None}
    return Placement(_shape_of(sizes, wish.devices), wish.rules)


def require_splits(task: Any, config: Any, params: Any, placement: Placement) -> None:
    """Raises InputError if rules split nothing along an axis of the mesh of parameters of these shapes."""
    from attnjax.train.beginning import names_of_axes
    from attnjax.train.sharding import ShardingPlan

    plan = ShardingPlan(placement.mesh(), config, placement.rules)
    plan.left_whole(params, names_of_axes(task, plan))


def _shape_of(sizes: Mapping[str, int | None], devices: int | None) -> MeshShape:
    """Returns the mesh of these sizes on the devices that jax has, or on so many of them."""
    import jax

    available = len(jax.devices())
    there = f"jax has {available} {jax.default_backend()} device(s)"
    if devices is not None and devices > available:
        raise InputError(f"--devices is {devices}: {there}")
    if devices is not None:
        available, there = devices, f"--devices is {devices}"
    return fill_mesh(sizes, available, there)


def _shape(mesh: str) -> MeshShape:
    return MeshShape(**{name: size or 1 for name, size in read_mesh(mesh).items()})
