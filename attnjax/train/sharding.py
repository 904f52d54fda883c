"""Shardings of a run: a mesh of devices, and rules that read the logical axes of parameters."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from attnjax.config import require
from attnjax.train.adapters import Adapted, axes_of, is_adapted
from attnjax.train.config import TrainConfig
from attnjax.train.patterns import name_of

Rules = Mapping[str, str]
"""The axis of the mesh over which a logical axis of parameters ("mlp", "heads", …) is split."""
REPLICATED: Rules = {}
"""Every device holds every parameter."""


class ShardingPlan:
    """The shardings of one run; `mesh=None` is the first local device.

    Batches are split over the mesh's axis "data", parameters and what the optimiser keeps for each as the
    rules say. An axis without a rule, or whose length does not divide, is not split.

    Raises:
      InputError: a micro-batch cannot be split evenly over the mesh, or a rule names no axis of it.
    """

    replicated: Sharding
    _batches: Sharding

    def __init__(self, mesh: Mesh | None, config: TrainConfig, rules: Rules = REPLICATED) -> None:
        self._rules, self._mesh = rules, mesh
        if mesh is None:
            self.replicated = self._batches = SingleDeviceSharding(jax.local_devices()[0])
            return
        require("data" in mesh.axis_names, f"mesh has the axes {mesh.axis_names}: it must have 'data'")
        for logical, axis in rules.items():
            known = axis in mesh.axis_names
            require(known, f"rules split {logical} over {axis!r}: mesh has the axes {mesh.axis_names}")
        devices, micro_batch = mesh.shape["data"], config.batch_size // config.accumulate
        require(
            micro_batch % devices == 0,
            f"train.batch_size / train.accumulate is {micro_batch}: {devices} devices must divide it",
        )
        # Mesh's own axes are Auto: XLA partitions the step. jax.make_mesh's may be Explicit, which it cannot.
        self._mesh = Mesh(mesh.devices, mesh.axis_names)
        self.replicated = NamedSharding(self._mesh, PartitionSpec())
        self._batches = NamedSharding(self._mesh, PartitionSpec(None, "data"))

    @property
    def splits(self) -> bool:
        """True if parameters may be split, so that the names of their axes count."""
        return self._mesh is not None and bool(self._rules)

    def of(self, axes: tuple[str | None, ...], shape: tuple[int, ...]) -> Sharding:
        """Returns the sharding of a parameter by the names of its axes."""
        if self._mesh is None or not self._rules:
            return self.replicated
        split: list[str | None] = []
        for name, length in zip(axes, shape, strict=True):
            axis = self._rules.get(name or "")
            fits = axis is not None and axis not in split and length % self._mesh.shape[axis] == 0
            split.append(axis if fits else None)
        return NamedSharding(self._mesh, PartitionSpec(*split))

    def state(self, like: Any, params: Any, axes: Any) -> Any:
        """Returns a sharding for each array of a training state.

        Args:
          like: the state, or its shapes.
          params: the parameters in it, or their shapes.
          axes: a tree like params, without adapters, of tuples of names; None where the task names none.

        An array of the optimiser that lies under the path of a parameter and has its shape goes with it.
        """
        if axes is None or not self.splits:
            return jax.tree.map(lambda _: self.replicated, like)
        plain = jax.tree.leaves(axes, is_leaf=lambda node: isinstance(node, tuple))
        kernels = jax.tree.leaves(params, is_leaf=is_adapted)
        names = [
            own
            for kernel, named in zip(kernels, plain, strict=True)
            for own in (axes_of(kernel, named) if isinstance(kernel, Adapted) else [named])
        ]
        found = {
            name_of(path): (leaf.shape, self.of(own, leaf.shape))
            for (path, leaf), own in zip(jax.tree_util.tree_leaves_with_path(params), names, strict=True)
        }

        def sharding(path: tuple[Any, ...], leaf: Any) -> Sharding:
            parts = name_of(path).split(".")
            for start in range(len(parts)):
                shape, own = found.get(".".join(parts[start:]), (None, self.replicated))
                if shape == leaf.shape:
                    return own
            return self.replicated

        return jax.tree_util.tree_map_with_path(sharding, like)

    def put(self, values: Any) -> Any:
        """Returns values, the same on each host, on every device."""
        if self.replicated.is_fully_addressable:
            return jax.device_put(values, self.replicated)
        return jax.jit(lambda x: x, out_shardings=self.replicated)(values)

    def put_batches(self, batches: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """Returns batches stacked over steps, [K, B, …], this host's share of B, on the devices."""
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self._batches, x), batches)


def place_part(part: Any, shardings: Any) -> Any:
    """Returns host arrays on the devices; `part` may lack entries of the dictionaries of `shardings`."""
    if isinstance(shardings, dict):
        return {name: place_part(own, shardings[name]) for name, own in part.items()}
    return jax.tree.map(jax.device_put, part, shardings)


def gather(tree: Any) -> Any:
    """Returns arrays on one local device: replicated ones without a copy.

    What runs on them then runs once, instead of on every device of the mesh with the same result. All hosts
    call it together, for what is split over them.
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
