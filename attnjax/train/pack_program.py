"""The program of a pack: the training chunk of many trials at once, which differ in traced values alone."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from jaxtyping import Array, Bool

from attnjax.train.config import TrainConfig
from attnjax.train.optimizer import Hyperparameters
from attnjax.train.state import TrainState
from attnjax.train.step import Batch, Loss, Metrics, make_train_chunk

AXIS = "trials"
Lowering = Literal["map", "vmap"]


class Lanes(NamedTuple):
    """What each lane of a pack is trained with, stacked over W lanes; one that is not alive stands still."""

    hyper: Hyperparameters
    seed_keys: Array
    alive: Bool[Array, " W"]


class PackLayout(NamedTuple):
    """How a pack is computed: one trial after another ("map") or all at once ("vmap"), on how many devices.

    The bits of a trial depend on `lowering`, `width` and the kind of device, but on no other trial of the
    pack. With "map" they are those of a run on one device.
    """

    lowering: Lowering
    width: int
    devices: int = 1

    @property
    def mesh(self) -> Mesh | None:
        """The mesh of trials; None for one device."""
        return Mesh(np.array(jax.devices()[: self.devices]), (AXIS,)) if self.devices > 1 else None

    @property
    def by_lane(self) -> Sharding:
        """Of arrays stacked over lanes."""
        mesh = self.mesh
        return NamedSharding(mesh, PartitionSpec(AXIS)) if mesh else _first_device()

    @property
    def shared(self) -> Sharding:
        """Of arrays that all lanes use."""
        mesh = self.mesh
        return NamedSharding(mesh, PartitionSpec()) if mesh else _first_device()


def make_pack_chunk(
    loss: Loss, config: TrainConfig, layout: PackLayout
) -> Callable[[TrainState, Batch, Lanes], tuple[TrainState, Metrics]]:
    """(states, batches, lanes) → (states, metrics [W, K]), compiled once for all trials of one static config.

    `batches` [K, B, …] are shared: the data is no part of what trials of a pack differ in. The states are
    donated. Metrics of a lane that is not alive mean nothing.
    """
    train_chunk = make_train_chunk(loss, config)

    def one(state: TrainState, batches: Batch, lanes: Lanes) -> tuple[TrainState, Metrics]:
        return train_chunk(state, batches, lanes.hyper, lanes.seed_keys)

    run = {"map": _mapped, "vmap": _vmapped}[layout.lowering](one)
    if layout.mesh:
        run = jax.shard_map(
            run,
            mesh=layout.mesh,
            in_specs=(PartitionSpec(AXIS), PartitionSpec(), PartitionSpec(AXIS)),
            out_specs=PartitionSpec(AXIS),
            check_vma=False,
        )
    return jax.jit(run, donate_argnums=0, out_shardings=layout.by_lane)


One = Callable[[TrainState, Batch, Lanes], tuple[TrainState, Metrics]]


def _mapped(one: One) -> One:
    def run(states: TrainState, batches: Batch, lanes: Lanes) -> tuple[TrainState, Metrics]:
        def lane(inputs: tuple[TrainState, Lanes]) -> tuple[TrainState, Metrics]:
            state, own = inputs
            metrics = jax.eval_shape(one, state, batches, own)[1]
            nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics)
            return jax.lax.cond(own.alive, lambda: one(state, batches, own), lambda: (state, nothing))

        return jax.lax.map(lane, (states, lanes))

    return run


def _vmapped(one: One) -> One:
    def run(states: TrainState, batches: Batch, lanes: Lanes) -> tuple[TrainState, Metrics]:
        moved, metrics = jax.vmap(one, in_axes=(0, None, 0))(states, batches, lanes)

        def kept(new: Array, old: Array) -> Array:
            return jnp.where(lanes.alive.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return jax.tree.map(kept, moved, states), metrics

    return run


def _first_device() -> Sharding:
    return SingleDeviceSharding(jax.local_devices()[0])
