"""context_recurrence(): a member of the linear family over tokens in shards on a mesh axis."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from attnjax.ops.context.layout import ShardLayout
from attnjax.ops.context.mesh import on_shards, resolved
from attnjax.ops.core.checks import array
from attnjax.ops.core.explicit_axes import automatic
from attnjax.ops.core.manual_axes import bound_axis
from attnjax.ops.linear.call import segments_and_lengths, spread


@dataclasses.dataclass(frozen=True)
class _Way:
    """The static part of a call."""

    member: Callable[..., Any]
    mesh: Mesh | None
    layout: ShardLayout
    batch: int
    return_state: bool
    options: tuple[tuple[str, Any], ...]


def _spread(member: Any, tokens: Mapping[str, Any], *, return_state: bool = False, **_: Any) -> Any:
    return spread(tokens.get("query"), None, tokens.get("value"), return_state=return_state)


@automatic(_spread)
def context_recurrence(
    member: Callable[..., Any],
    tokens: Mapping[str, Any],
    *,
    axis: str = "context",
    mesh: Mesh | None = None,
    return_state: bool = False,
    segment_ids: Any = None,
    lengths: Any = None,
    **options: Any,
) -> Any:
    """Returns `member(**tokens, **options)` of whole sequences, whose tokens are sharded over a mesh axis.

    Each shard's effect on the state is one affine map: the decays' product, or a matrix where the member
    erases. They are composed in ⌈log₂ n⌉ steps to the state that each shard begins with, exactly, and the
    shards run side by side. Derivatives pass through.

    Args:
      member: `linear_attention`, or a member of `attnjax.ops.linear.members` that looks at no other token
        but through its state: all but cosformer, gated_slot, log_linear and mesa.
      tokens: the arguments with an axis of tokens, which is sharded: "query" [*B, T, N, H], "key", "value"
        and gates [*B, T, …].
      axis: the mesh axis.
      mesh: with that axis; None = the one that `jax.set_mesh` set.
      return_state: also return the state after the last token.
      segment_ids: integers that broadcast to [*B, T].
      lengths: integers that broadcast to [*B].
      **options: other arguments of the member, whole on each device.

    Returns:
      out [*B, T, N, V], sharded as the query; with `return_state` also the state, on each device.

    Raises:
      TypeError: as the member.
      ValueError: as the member; the mesh has no such axis, or T does not divide.

    References:
      Sun et al., Linear Attention Sequence Parallelism, 2024 (arXiv:2404.02882).

    Example:
      >>> import attnjax as aj
      >>> mesh = jax.make_mesh((1,), ("context",))
      >>> x = jnp.ones((4, 1, 1))
      >>> out = aj.context_recurrence(aj.linear_attention, {"query": x, "key": x, "value": x}, mesh=mesh)
      >>> out.ravel().tolist()
      [1.0, 2.0, 3.0, 4.0]
    """
    if bound_axis(axis) is not None:
        raise ValueError(
            f"context_recurrence got a call inside of a shard_map over {axis!r}: expected whole arrays; "
            "there, members take axis="
        )
    layout = ShardLayout(axis, resolved(axis, mesh, None))
    arrays = {name: array(name, x) for name, x in tokens.items() if x is not None}
    query = arrays.get("query")
    if query is None or query.ndim < 3:
        raise ValueError(f"tokens has {sorted(tokens)}: expected a query [*B, T, N, H] among them")
    *batch, length = query.shape[:-2]
    layout.check("T", length)
    for name, x in arrays.items():
        if x.ndim <= len(batch) or x.shape[len(batch)] != length:
            raise ValueError(
                f"{name} has shape {list(x.shape)}: expected {length} tokens on axis {len(batch)} (*B, T, …)"
            )
    ids, ends = segments_and_lengths(segment_ids, lengths, tuple(batch), length)
    if ids is not None:
        arrays["segment_ids"] = jnp.broadcast_to(ids, (*batch, length))
    kept = {name: x for name, x in options.items() if any(map(_is_array, jax.tree.leaves(x)))}
    static = tuple(sorted((name, x) for name, x in options.items() if name not in kept))
    way = _Way(member, mesh, layout, len(batch), return_state, static)
    return _run(way, arrays, kept, ends)


def _is_array(x: Any) -> bool:
    """Returns whether x is data, not structure."""
    return isinstance(x, (jax.Array, np.ndarray))


@functools.partial(jax.jit, static_argnums=0)
def _run(way: _Way, arrays: dict[str, Any], kept: dict[str, Any], lengths: Any) -> Any:
    axis, whole = way.layout.axis, PartitionSpec()
    sharded = PartitionSpec(*[None] * way.batch, axis)

    def shard(arrays: dict[str, Any], kept: dict[str, Any], lengths: Any) -> Any:
        given = {**arrays, **kept, **dict(way.options), "axis": axis, "return_state": way.return_state}
        if lengths is not None:
            own = arrays["query"].shape[way.batch]
            given["lengths"] = jnp.clip(lengths - jax.lax.axis_index(axis) * own, 0, own)
        return way.member(**given)

    out = (sharded, whole) if way.return_state else sharded
    return on_shards(shard, way.mesh, axis, (sharded, whole, whole), out)(arrays, kept, lengths)
