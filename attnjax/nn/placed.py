"""Where activations lie on a mesh: the one place that says so."""

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
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or x.ndim < 3:
        return x
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    left = {name for name, kind in kinds if kind == AxisType.Auto and mesh.shape[name] > 1}
    batch = _dividing(x.shape[0], [name for name in BATCH_AXES if name in left], mesh.shape)
    sequence = _dividing(x.shape[-2], [name for name in (SEQUENCE_AXIS,) if name in left], mesh.shape)
    if batch is None and sequence is None:
        return x
    between = (None,) * (x.ndim - 3)
    return jax.lax.with_sharding_constraint(x, PartitionSpec(batch, *between, sequence, None))


def _dividing(length: int, axes: list[str], sizes: Mapping[str, int]) -> tuple[str, ...] | None:
    """Returns the axes if all of them together divide a length."""
    size = math.prod(sizes[axis] for axis in axes)
    return tuple(axes) if axes and length % size == 0 else None
