"""The programs of a pack: the training chunk of many trials at once, which differ in traced values alone."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from jaxtyping import Array, Bool

from attnjax.config import require, traced_fields
from attnjax.tasks.base import AS_MADE
from attnjax.tasks.rehearsal import given_params
from attnjax.train.config import TrainConfig
from attnjax.train.heads import HeadNumbers
from attnjax.train.loop import stacked_batches
from attnjax.train.rows import Touched, touched_by
from attnjax.train.spans import Span, next_span
from attnjax.train.state import TrainState, initial_state
from attnjax.train.step import Batch, Loss, Metrics, TracedValues, make_train_chunk
from attnjax.train.validation import Validation

if TYPE_CHECKING:
    from attnjax.tasks.base import Task

AXIS = "trials"
Batching = Literal["map", "vmap"]


@dataclass(frozen=True)
class PackTrial:
    """One trial of a pack: its traced values, its seed, and the file that its metrics go to.

    `hyper` is for the task's loss: the values that are others than those of the program.
    """

    number: int
    config: TrainConfig
    seed: int
    metrics: Path
    hyper: Mapping[str, float] = field(default_factory=dict)


class Lanes(NamedTuple):
    """The settings of each lane of a pack, stacked over W lanes; one that is not alive stands still."""

    traced: TracedValues
    seed_keys: Array
    alive: Bool[Array, " W"]


class PackLayout(NamedTuple):
    """The computation of a pack: one trial after another ("map") or all at once ("vmap"), on some devices.

    The bits of a trial depend on `batching`, `width` and the kind of device, but on no other trial of the
    pack. With "map" they are those of a run on one device.
    """

    batching: Batching
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
    loss: Loss, config: TrainConfig, layout: PackLayout, touched: Touched | None = None
) -> Callable[[TrainState, Batch, Lanes], tuple[TrainState, Metrics]]:
    """(states, batches, lanes) → (states, metrics [W, K]), compiled once for all trials of one static config.

    `batches` [W, K, B, …] are each lane's own: a lane that was given to another trial is at another step. The
    states are donated. Metrics of a lane that is not alive mean nothing.
    """
    train_chunk = make_train_chunk(loss, config, touched)

    @functools.partial(jax.jit, inline=True)  # Traced once, however often it is asked for its shapes.
    def one(state: TrainState, batches: Batch, lanes: Lanes) -> tuple[TrainState, Metrics]:
        return train_chunk(state, batches, lanes.traced, lanes.seed_keys)

    run = {"map": _mapped, "vmap": _vmapped}[layout.batching](one)
    if layout.mesh:
        run = jax.shard_map(
            run,
            mesh=layout.mesh,
            in_specs=PartitionSpec(AXIS),
            out_specs=PartitionSpec(AXIS),
            check_vma=False,
        )
    return jax.jit(run, donate_argnums=0, out_shardings=layout.by_lane)


class PackProgram:
    """The task and the compiled programs that the packs of one static config share.

    Args:
      task: of all trials.
      config: of the training; a trial may have other traced values.
      layout: says how a pack is computed.
      hyper: for the task's loss; a trial may have other values, but no other names.
    """

    def __init__(
        self,
        task: "Task",
        config: TrainConfig,
        layout: PackLayout,
        hyper: Mapping[str, float] = AS_MADE,
    ) -> None:
        self.task, self.config, self.layout, self._hyper = task, config, layout, dict(hyper)
        self.validation, self.heads = Validation(task), HeadNumbers(task)
        self.chunk = make_pack_chunk(task.loss, config, layout, touched_by(task))
        self.copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))
        self._compiled = False
        # A program of its own, as in a run: inside a larger one its bits might be others.
        self._init = jax.jit(functools.partial(initial_state, task, config))
        self._take = jax.jit(lambda states, lane: jax.tree.map(lambda x: x[lane], states))
        self._put = jax.jit(
            lambda states, lane, one: jax.tree.map(lambda x, new: x.at[lane].set(new), states, one),
            donate_argnums=0,
            out_shardings=layout.by_lane,
        )

    def compile(self) -> None:
        """Compiles what the first chunk of a pack needs, side by side; once."""
        if self._compiled:
            return
        self._compiled = True
        span = next_span(0, self.config)
        lanes = self.lanes([None] * self.layout.width, [])
        given = self._given
        with ThreadPoolExecutor(1) as beside:
            first = beside.submit(self._init, jax.random.key(0), given)
            jax.block_until_ready(self.chunk(self.empty(), self.batches([span] * self.layout.width), lanes))
            first.result()

    def empty(self) -> TrainState:
        """Zeros for every lane."""
        like = jax.eval_shape(self._init, jax.random.key(0))
        zeros = jax.tree.map(lambda x: np.zeros((self.layout.width, *x.shape), x.dtype), like)
        return jax.device_put(zeros, self.layout.by_lane)

    def begin(self, states: TrainState, lane: int, seed: int) -> TrainState:
        """The states with the first one of a trial in a lane; `states` are donated."""
        return self.put(states, lane, self._init(jax.random.key(seed), self._given))

    def put(self, stacked: Any, lane: int, one: Any) -> Any:
        """A tree that is stacked over lanes, with this one in a lane; `stacked` is donated."""
        return self._put(stacked, lane, jax.device_put(one, self.layout.shared))

    def take(self, states: Any, lane: int) -> Any:
        """The part of a tree of states that one lane holds, on the first device."""
        return jax.device_put(self._take(states, lane), _first_device())

    def batches(
        self, spans: Sequence[Span], made: Callable[[Span], dict[str, np.ndarray]] | None = None
    ) -> Batch:
        """The batches of each lane's span, all spans of one length; `made` gives those of a span."""
        found = {span: (made or self.host_batches)(span) for span in set(spans)}
        shapes = {tuple(map(np.shape, jax.tree.leaves(own))) for own in found.values()}
        require(
            len(shapes) == 1,
            "the trials of a pack are at steps whose batches have other shapes (as data.buckets makes them): "
            "train them one at a time, with --width 1",
        )
        stacked = jax.tree.map(lambda *x: np.stack(x), *(found[span] for span in spans))
        return jax.device_put(stacked, self.layout.by_lane)

    def host_batches(self, span: Span) -> dict[str, np.ndarray]:
        """The batches of a span, [K, B, …]."""
        return stacked_batches(self.task, span)

    def lanes(self, trials: Sequence[PackTrial | None], alive: Collection[int]) -> Lanes:
        """Returns the settings of each lane; those in `alive` go on."""
        train = [traced_fields(trial.config if trial else self.config) for trial in trials]
        stacked: Any = TracedValues(_stacked(train), _stacked([self.hyper(trial) for trial in trials]))
        keys = jax.vmap(jax.random.key)(np.array([trial.seed if trial else 0 for trial in trials], np.uint32))
        flags: Any = np.isin(np.arange(self.layout.width), list(alive))
        return jax.device_put(Lanes(stacked, keys, flags), self.layout.by_lane)

    def hyper(self, trial: PackTrial | None) -> dict[str, float]:
        """The values for the loss of a trial, or of a lane without one."""
        return self._hyper if trial is None else {**self._hyper, **trial.hyper}

    @functools.cached_property
    def _given(self) -> Any:
        """The parameters that the task begins with, on the first device; None without any."""
        return jax.device_put(given_params(self.task), _first_device())


One = Callable[[TrainState, Batch, Lanes], tuple[TrainState, Metrics]]


def _mapped(one: One) -> One:
    def run(states: TrainState, batches: Batch, lanes: Lanes) -> tuple[TrainState, Metrics]:
        def lane(inputs: tuple[TrainState, Batch, Lanes]) -> tuple[TrainState, Metrics]:
            state, batch, own = inputs
            metrics = jax.eval_shape(one, *inputs)[1]
            nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics)
            return jax.lax.cond(own.alive, lambda: one(state, batch, own), lambda: (state, nothing))

        return jax.lax.map(lane, (states, batches, lanes))

    return run


def _vmapped(one: One) -> One:
    def run(states: TrainState, batches: Batch, lanes: Lanes) -> tuple[TrainState, Metrics]:
        moved, metrics = jax.vmap(one)(states, batches, lanes)

        def kept(new: Array, old: Array) -> Array:
            return jnp.where(lanes.alive.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return jax.tree.map(kept, moved, states), metrics

    return run


def _stacked(values: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {name: np.array([own[name] for own in values], np.float32) for name in values[0]}


def _first_device() -> Sharding:
    return SingleDeviceSharding(jax.local_devices()[0])
