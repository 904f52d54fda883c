"""Meshes as callers give them, and how the arrays of a call are spread over one axis of theirs."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, PartitionSpec

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


def on_shards(fn: Callable[..., Any], mesh: Any, axis: str, in_specs: Any, out_specs: Any) -> Any:
    """Returns `jax.shard_map` of fn over the axis alone, of the mesh that is set or else of this one.

    Whether the axes of a mesh are explicit ones is the callers' affair (see `automatic`): here none is.
    """
    if not jax.sharding.get_abstract_mesh().empty:
        mesh = None
    elif isinstance(mesh, Mesh):
        mesh = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))
    return jax.shard_map(fn, mesh=mesh, in_specs=in_specs, out_specs=out_specs, axis_names={axis})


def shard_specs(tree: Any, axis: str) -> Any:
    """Returns the PartitionSpec of each leaf: queries of Grids are sharded, all else is on each device."""

    def of(x: Any) -> Any:
        if is_grid(x) and x.array.shape[QUERY_AXIS] != 1:
            return jax.tree.map(lambda _: PartitionSpec(None, None, axis), x)
        return jax.tree.map(lambda _: PartitionSpec(), x)

    return jax.tree.map(of, tree, is_leaf=is_grid)
