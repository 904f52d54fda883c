"""Shardings of a run: a mesh of devices, and rules that read the logical axes of parameters."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from attnjax.config import BATCH_AXES, require
from attnjax.nn.placed import SEQUENCE_AXIS
from attnjax.train.config import TrainConfig
from attnjax.train.mesh import AXES, REPLICATED, MeshShape, Rules
from attnjax.train.patterns import name_of
from attnjax.train.splitting import Axes, left_whole, named_arrays, split_axes


class ShardingPlan:
    """The shardings of one run; `mesh=None` is the first local device.

    Batches are split over the mesh's axes "data" and "fsdp", parameters and what the optimiser keeps for each
    as the rules say. An axis without a rule, or whose length does not divide, is not split.

    Raises:
      InputError: a micro-batch cannot be split evenly over the mesh, a rule names no axis of it, or no rule
        splits over its axis "model".
    """

    replicated: Sharding
    mesh: Mesh | None
    _batches: Sharding

    def __init__(self, mesh: Mesh | None, config: TrainConfig, rules: Rules = REPLICATED) -> None:
        self._rules, self.mesh = rules, mesh
        self._shards, self._accumulate = 1, config.accumulate
        if mesh is None:
            self.replicated = self._batches = SingleDeviceSharding(jax.local_devices()[0])
            return
        require("data" in mesh.axis_names, f"mesh has the axes {mesh.axis_names}: it must have 'data'")
        for logical, axis in rules.items():
            known = axis in mesh.axis_names
            require(known, f"rules split {logical} over {axis!r}: mesh has the axes {mesh.axis_names}")
        shape = MeshShape(**{name: n for name, n in mesh.shape.items() if name in AXES})
        shape.require_batch(config.batch_size // config.accumulate)
        self._shards = shape.batch_shards
        used = shape.model == 1 or "model" in rules.values()
        require(used, f"mesh {shape} has an axis model, over which no rule splits: such rules are tensor")
        # Mesh's own axes are Auto: XLA partitions the step. jax.make_mesh's may be Explicit, which it cannot.
        self.mesh = Mesh(mesh.devices, mesh.axis_names)
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        split = tuple(axis for axis in BATCH_AXES if axis in mesh.axis_names)
        self._batches = NamedSharding(self.mesh, PartitionSpec(None, split))
        self._axes = [name for name, size in mesh.shape.items() if size > 1]

    def require_rows(self, counts: Collection[int]) -> None:
        """Raises InputError where a batch of so many rows does not divide over devices and micro-batches."""
        parts = self._shards * self._accumulate
        for rows in sorted(counts):
            require(
                rows % parts == 0,
                f"some batches have {rows} rows: {self._shards} device(s) × {self._accumulate} "
                f"(train.accumulate) must divide them; expected fewer of both, or a larger data.batch_tokens",
            )

    @property
    def splits(self) -> bool:
        """True if parameters may be split, so that the names of their axes count."""
        return self.mesh is not None and bool(self._rules)

    def tracing(self) -> AbstractContextManager[Any]:
        """Returns the context in which models are traced, so that `nn.placed` knows the mesh.

        Where nothing but batches is split there is none: their split carries over by itself.
        """
        if self.mesh is None or not (self._rules or set(self._axes) - {"data"}):
            return nullcontext()
        return jax.set_mesh(self.mesh)

    def readable(self, params: Any) -> Any:
        """Returns the parameters that are validated, evaluated and handed on: split ones as they lie.

        So do those of a mesh that splits sequences, which one device may not hold. Others lie on one local
        device. What runs on them then runs once, instead of on every device of the mesh with the same result.
        So do those of several hosts, each of which reads examples of its own.
        """
        return params if self.read_as_they_lie else gather(params)

    def reading(self) -> AbstractContextManager[Any]:
        """Returns the context in which parameters are read that `readable` gives."""
        return self.tracing() if self.read_as_they_lie else nullcontext()

    @property
    def read_as_they_lie(self) -> bool:
        """True if parameters are read on the mesh."""
        sequences = self.mesh is not None and self.mesh.shape.get(SEQUENCE_AXIS, 1) > 1
        return (self.splits or sequences) and self.replicated.is_fully_addressable

    def of(self, axes: Axes, shape: tuple[int, ...]) -> Sharding:
        """Returns the sharding of a parameter by the names of its axes."""
        return self._along(self._split(axes, shape))

    def left_whole(self, params: Any, axes: Any) -> list[str]:
        """Returns a line for each axis of the mesh along which arrays that the rules mean stay whole.

        Args:
          params: the parameters, or their shapes.
          axes: a tree like params, without adapters, of tuples of names; None where the task names none.

        Raises:
          InputError: no array at all is split along an axis, with an array and the nearest size that fits.
        """
        return (
            [] if self.mesh is None else left_whole(self._rules, self.mesh.shape, named_arrays(params, axes))
        )

    def state(self, like: Any, params: Any, axes: Any) -> Any:
        """Returns a sharding for each array of a training state.

        Args:
          like: the state, or its shapes.
          params: the parameters in it, or their shapes.
          axes: a tree like params, without adapters, of tuples of names; None where the task names none.

        An array of the optimiser that lies under the path of a parameter goes with it: one of its shape, or
        of its shape without an axis, as the second moments by rows and by columns of Adafactor.
        """
        if not self.splits:
            return jax.tree.map(lambda _: self.replicated, like)
        found = {name: (own, shape) for name, own, shape in named_arrays(params, axes)}

        def sharding(path: tuple[Any, ...], leaf: Any) -> Sharding:
            parts = name_of(path).split(".")
            for start in range(len(parts)):
                if (known := found.get(".".join(parts[start:]))) is not None:
                    return self._along(self._split_part(*known, leaf.shape))
            return self.replicated

        return jax.tree_util.tree_map_with_path(sharding, like)

    def _split_part(self, axes: Axes, shape: tuple[int, ...], own: tuple[int, ...]) -> Axes:
        """Returns how an array of shape `own` is split that belongs to a parameter."""
        if own == shape:
            return self._split(axes, shape)
        without = [i for i in range(len(shape)) if shape[:i] + shape[i + 1 :] == own]
        # Of a square either axis may be the one that is left out: what counts is that the rest is split.
        splits = [self._split(axes[:i] + axes[i + 1 :], own) for i in without]
        return max(splits, key=lambda names: len(names) - names.count(None), default=())

    def _split(self, axes: Axes, shape: tuple[int, ...]) -> Axes:
        return split_axes(self._rules, {} if self.mesh is None else self.mesh.shape, axes, shape)

    def _along(self, split: Axes) -> Sharding:
        return self.replicated if self.mesh is None else NamedSharding(self.mesh, PartitionSpec(*split))

    def put(self, values: Any) -> Any:
        """Returns values, the same on each host, on every device."""
        if self.replicated.is_fully_addressable:
            return jax.device_put(values, self.replicated)
        return jax.jit(lambda x: x, out_shardings=self.replicated)(values)

    def put_batches(self, batches: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """Returns batches stacked over steps, [K, B, …], this host's share of B, on the devices."""
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self._batches, x), batches)

    def describe_batches(self, batches: Mapping[str, np.ndarray], steps: int) -> dict[str, Any]:
        """Returns the shapes and shardings of as many batches as `put_batches` puts on the devices.

        Args:
          batches: those of one step.
          steps: of the chunk.
        """
        return {
            name: jax.ShapeDtypeStruct(
                (steps, *x.shape), jax.dtypes.canonicalize_dtype(x.dtype), sharding=self._batches
            )
            for name, x in batches.items()
        }


def place_part(part: Any, shardings: Any) -> Any:
    """Returns host arrays on the devices; `part` may lack entries of the dictionaries of `shardings`."""
    if isinstance(shardings, dict):
        return {name: place_part(own, shardings[name]) for name, own in part.items()}
    return jax.tree.map(jax.device_put, part, shardings)


def gather(tree: Any) -> Any:
    """Returns arrays on one local device: replicated ones without a copy.

    All hosts call it together, for what is split over them.
    """

    def one(x: jax.Array) -> jax.Array:
        if not (x.is_fully_addressable or x.is_fully_replicated):
            x = replicate(x)
        return x.addressable_data(0) if x.is_fully_replicated else jax.device_put(x, jax.local_devices()[0])

    return jax.tree.map(one, tree)


def replicate(x: jax.Array) -> jax.Array:
    """Returns an array that is split over hosts whole on each of their devices."""
    assert isinstance(x.sharding, NamedSharding)
    whole = NamedSharding(x.sharding.mesh, PartitionSpec())
    return jax.jit(lambda x: x, out_shardings=whole)(x)
