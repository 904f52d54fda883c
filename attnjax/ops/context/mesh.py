"""Meshes as callers give them, and how the arrays of a call are spread over one axis of theirs."""

from typing import Any

import jax
from jax.sharding import PartitionSpec

from attnjax.ops.core.pairs import QUERY_AXIS, is_grid


def resolved(axis: str, mesh: Any, inside: int | None) -> int:
    """Returns the number of devices along the axis, of the mesh or of the shard_map that runs here.

    Raises:
      TypeError: mesh is none.
      ValueError: there is no mesh, or it has no such axis.
    """
    if inside is not None:
        if mesh is not None:
            raise ValueError(f"mesh is given inside of a shard_map over {axis!r}: expected None there")
        return inside
    mesh = jax.sharding.get_abstract_mesh() if mesh is None else mesh
    names = getattr(mesh, "axis_names", None)
    if names is None:
        raise TypeError(f"mesh is {mesh!r}: expected a jax.sharding.Mesh")
    if axis not in names:
        known = ", ".join(map(repr, names)) if names else "none: give mesh=, or call jax.set_mesh"
        raise ValueError(f"axis is {axis!r}: expected an axis of the mesh, {known}")
    return int(mesh.shape[axis])


def shard_specs(tree: Any, axis: str) -> Any:
    """Returns the PartitionSpec of each leaf: queries of Grids are sharded, all else is on each device."""

    def of(x: Any) -> Any:
        if is_grid(x) and x.array.shape[QUERY_AXIS] != 1:
            return jax.tree.map(lambda _: PartitionSpec(None, None, axis), x)
        return jax.tree.map(lambda _: PartitionSpec(), x)

    return jax.tree.map(of, tree, is_leaf=is_grid)
