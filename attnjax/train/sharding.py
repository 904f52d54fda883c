"""Where arrays live: parameters on every device of the mesh, batches split over its axis "data"."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from attnjax.config import require
from attnjax.train.config import TrainConfig


class Placement:
    """Shardings of one run; `mesh=None` is the first local device.

    Raises InputError when a micro-batch cannot be split evenly over the mesh.
    """

    state: Sharding
    _batches: Sharding

    def __init__(self, mesh: Mesh | None, config: TrainConfig) -> None:
        if mesh is None:
            self.state = self._batches = SingleDeviceSharding(jax.local_devices()[0])
            return
        require("data" in mesh.axis_names, f"mesh has the axes {mesh.axis_names}: it must have 'data'")
        devices, micro_batch = mesh.shape["data"], config.batch_size // config.accumulate
        require(
            micro_batch % devices == 0,
            f"train.batch_size / train.accumulate is {micro_batch}: {devices} devices must divide it",
        )
        # Mesh's own axes are Auto: XLA partitions the step. jax.make_mesh's may be Explicit, which it cannot.
        mesh = Mesh(mesh.devices, mesh.axis_names)
        self.state = NamedSharding(mesh, PartitionSpec())
        self._batches = NamedSharding(mesh, PartitionSpec(None, "data"))

    def put_batches(self, batches: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """Batches stacked over steps, [K, B, …], this host's share of B, onto the devices."""
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self._batches, x), batches)


def on_one_device(tree: Any) -> Any:
    """Replicated arrays as arrays on one local device, without a copy.

    What runs on them then runs once, instead of on every device of the mesh with the same result.
    """
    return jax.tree.map(lambda x: x.addressable_data(0), tree)
