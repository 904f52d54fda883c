"""The places of activations on a mesh; nothing else says where they lie."""

import math
from collections.abc import Mapping

import jax
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array, Float

from attnjax.config import BATCH_AXES

SEQUENCE_AXIS = "context"
"""The mesh axis that sequences are split over."""


def placed(x: Float[Array, "*B T D"]) -> Float[Array, "*B T D"]:
    """Returns x with its first axis split over the mesh axes of batches, and T over that of sequences.

    The mesh is that of `jax.set_mesh`. Without one x comes back as it is, as it does inside of `shard_map`,
    in a mesh of explicit axes, and where x has no axis for batches. An axis that the devices do not divide
    stays whole. What layers compute between two such places follows from their parameters.

    References:
      Xu et al., GSPMD, 2021, arXiv:2105.04663.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.ones((2, 3, 4))
      >>> placed(x) is x
      True
    """
    sizes = _automatic_axes()
    if not sizes or x.ndim < 3:
        return x
    batch = _dividing(x.shape[0], [name for name in BATCH_AXES if name in sizes], sizes)
    sequence = _dividing(x.shape[-2], [name for name in (SEQUENCE_AXIS,) if name in sizes], sizes)
    if batch is None and sequence is None:
        return x
    between = (None,) * (x.ndim - 3)
    return jax.lax.with_sharding_constraint(x, PartitionSpec(batch, *between, sequence, None))


def axis_of_sequences(*lengths: int) -> str | None:
    """Returns the mesh axis over which layers compute sequences of these lengths in shards, or None.

    On CPU that is an axis which is alone in its mesh. With others, XLA's devices there begin what they have
    to send in orders of their own, and may wait for each other until it ends the process: the compiler then
    gathers sequences as layers need them.
    """
    size = _devices_of_sequences()
    return SEQUENCE_AXIS if size > 1 and all(length % size == 0 for length in lengths) else None


def slots_for(tokens: int) -> int:
    """Returns the least number of slots for so many tokens that a mesh splits evenly.

    Example:
      >>> slots_for(5)
      5
    """
    size = _devices_of_sequences()
    return -(-tokens // size) * size


def placed_slots(slots: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Returns the slots of a cache with the axis of its tokens split as `axis_of_sequences` says.

    Each device then holds its part of the cache. The split of the other axes is left to the compiler.
    """
    if axis_of_sequences(slots.shape[axis]) is None:
        return slots
    split: list[object] = [PartitionSpec.UNCONSTRAINED] * slots.ndim
    split[axis] = SEQUENCE_AXIS
    return jax.lax.with_sharding_constraint(slots, PartitionSpec(*split))


def rows_whole(table: Float[Array, "V D"]) -> Float[Array, "V D"]:
    """Returns a table that rows are taken from, each of them whole on the devices that have it.

    Rows are taken for a batch, which is split over the devices that the parts of a row would lie on: those
    parts move once with the table, instead of with each batch.
    """
    if not _automatic_axes():
        return table
    return jax.lax.with_sharding_constraint(table, PartitionSpec(PartitionSpec.UNCONSTRAINED, None))


def _devices_of_sequences() -> int:
    """Returns the number of devices that share a sequence in layers."""
    sizes = _automatic_axes()
    alone = len(sizes) == 1 or jax.default_backend() != "cpu"
    return sizes.get(SEQUENCE_AXIS, 1) if alone else 1


def _automatic_axes() -> dict[str, int]:
    """Returns the size of each axis of the mesh that XLA may split arrays over."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return {name: mesh.shape[name] for name, kind in kinds if kind == AxisType.Auto and mesh.shape[name] > 1}


def _dividing(length: int, axes: list[str], sizes: Mapping[str, int]) -> tuple[str, ...] | None:
    """Returns the axes if all of them together divide a length."""
    size = math.prod(sizes[axis] for axis in axes)
    return tuple(axes) if axes and length % size == 0 else None
