"""context_attention(): attention over tokens that lie in shards on the devices of a mesh axis."""

import dataclasses
import functools
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from attnjax.ops.arguments import AttentionOptions, extras, make_call
from attnjax.ops.attention import asked_for, spread
from attnjax.ops.context import gathered, ring
from attnjax.ops.context.layout import Order, ShardLayout
from attnjax.ops.context.located import of_queries
from attnjax.ops.context.mesh import on_shards, resolved, shard_specs
from attnjax.ops.context.plan import ContextPlan, Strategy, check_order, plan_of
from attnjax.ops.core.explicit_axes import automatic
from attnjax.ops.core.manual_axes import bound_axis
from attnjax.ops.core.options import spelled_out
from attnjax.ops.engines.call import AttentionCall

Further = Literal["lse", "sums"] | None


@dataclasses.dataclass(frozen=True)
class Way:
    """The static part of a call: where its tokens lie, and what is done with them."""

    layout: ShardLayout
    strategy: Strategy
    hops: tuple[int, ...]
    further: Further


@spelled_out(AttentionOptions, make_call)
@automatic(spread)
def context_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    *,
    axis: str = "context",
    mesh: Mesh | None = None,
    strategy: Strategy | None = None,
    order: Order = "contiguous",
    return_lse: bool = False,
    normalize: bool = True,
    **options: Unpack[AttentionOptions],
) -> Any:
    """Returns `attention` of sequences whose tokens are sharded over a mesh axis, for any mask and score.

    The result is that of `attention` of the whole sequences, with the same bits of dropout: masks, scores,
    biases and random words are evaluated at the positions that tokens have in the whole.

    Outside of `jax.shard_map` the arrays are whole and `mesh` tells how they are sharded. Inside of one over
    `axis`, query, key and value are this device's shards; what else is given speaks of the whole sequences,
    and arrays of masks and scores are whole on each device.

    "ring": keys and values go round in hops, and partial results are joined by each row's highest score and
    sum; a device holds one shard of keys at a time, forward and backward. A hop is left out where the mask
    leaves it empty on all devices, and its product where it does so on one. "all_gather": every device
    gathers keys and values.

    Args:
      query: [*B, T, N, H], floating point; inside of a shard_map T is the shard's.
      key: [*B, S, K, H].
      value: [*B, S, K, V].
      axis: the mesh axis over which T and S are sharded.
      mesh: with that axis; None = the one that `jax.set_mesh` set. Only outside of a shard_map.
      strategy: None takes "ring" where the mask leaves hops out or where all keys and values are more numbers
        than a shard's own queries and outputs, else "all_gather". A name is honoured or raises.
      order: how tokens lie on the devices: "contiguous", or "zigzag" as `to_zigzag` puts them. Masks and
        biases speak of positions in the sequence in both.
      return_lse: as in `attention`.
      normalize: as in `attention`.
      **options: as in `attention`.

    Returns:
      What `attention` returns, sharded as the query.

    Raises:
      TypeError: as `attention`.
      ValueError: as `attention`; the mesh has no such axis, lengths do not divide, or the strategy cannot
        compute the call.

    References:
      Liu et al., Ring Attention with Blockwise Transformers for Near-Infinite Context, 2023
      (arXiv:2310.01889). Brandon et al., Striped Attention: Faster Ring Attention for Causal Transformers,
      2023, balanced orders (arXiv:2311.09431). Llama Team, The Llama 3 Herd of Models, 2024, all-gather
      (arXiv:2407.21783).

    Example:
      >>> import attnjax as aj
      >>> mesh = jax.make_mesh((1,), ("context",))
      >>> x = jnp.ones((4, 1, 2))
      >>> aj.context_attention(x, x, x, mesh=mesh, mask=aj.causal()).shape
      (4, 1, 2)
    """
    inside = bound_axis(axis)
    shards = resolved(axis, mesh, inside)
    layout = ShardLayout(axis, shards, check_order(order))
    parts = (1, 1) if inside is None else (shards, shards)
    in_order = inside is None and order == "contiguous"
    call = make_call(query, key, value, **options, shards=None if in_order else parts)
    sizes = call.rules.sizes
    layout.check("T", sizes.queries)
    layout.check("S", sizes.keys)
    further = extras(call, return_lse, normalize)
    plan, table = plan_of(call, layout, strategy)
    way = Way(layout, plan.strategy, plan.hops, further)
    run = _inside if inside is not None else functools.partial(_outside, mesh)
    out, *rest = run(way, call, table)
    out, *rest = (x.reshape(*sizes.batch, *x.shape[1:]) for x in (out, *rest))
    out = out.astype(call.query.dtype) if normalize else out
    return (out, *rest) if rest else out


@spelled_out(AttentionOptions, make_call)
def plan_context_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    *,
    shards: int,
    strategy: Strategy | None = None,
    order: Order = "contiguous",
    **options: Unpack[AttentionOptions],
) -> ContextPlan:
    """Returns what `context_attention` does with whole arrays over a mesh axis of so many devices.

    Args:
      query: [*B, T, N, H]; arrays, or what stands for them while tracing.
      key: [*B, S, K, H].
      value: [*B, S, K, V].
      shards: devices of the mesh axis.
      strategy: as in `context_attention`.
      order: as in `context_attention`.
      **options: as in `attention`.

    Returns:
      The plan: print it, or read its fields.

    Raises:
      TypeError: as `context_attention`.
      ValueError: as `context_attention`.

    Example:
      >>> import attnjax as aj
      >>> x = jnp.ones((8, 4, 2))
      >>> print(aj.plan_context_attention(x, x, x, shards=4, mask=aj.causal()))
      strategy ring: all keys and values, 128 numbers, are more than a shard's own 32
      order    contiguous
      hops     4, 3 sends
      products 10
    """
    layout = ShardLayout("context", shards, check_order(order))
    call = make_call(query, key, value, **options)
    layout.check("T", call.rules.sizes.queries)
    layout.check("S", call.rules.sizes.keys)
    return plan_of(call, layout, strategy)[0]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _outside(mesh: Mesh | None, way: Way, call: AttentionCall, table: Any) -> tuple[Array, ...]:
    """Computes a call of whole arrays; what it holds for each query is sharded with the queries."""
    layout, sizes = way.layout, call.rules.sizes
    if layout.order == "zigzag":
        call = dataclasses.replace(call, rules=of_queries(call.rules, layout.order_of(sizes.queries)))
    tokens = PartitionSpec(None, layout.axis)
    rules = shard_specs(call.rules, layout.axis)
    own = AttentionCall(tokens, tokens, tokens, PartitionSpec(), rules)  # type: ignore[arg-type]
    rows = PartitionSpec(None, None, layout.axis)
    out_specs = (tokens, *{None: (), "lse": (rows,), "sums": (rows, rows)}[way.further])
    run = on_shards(functools.partial(_shard, way), mesh, layout.axis, (own, PartitionSpec()), out_specs)
    found: tuple[Array, ...] = run(call, jnp.asarray(table))
    return found


@functools.partial(jax.jit, static_argnums=0)
def _inside(way: Way, call: AttentionCall, table: Any) -> tuple[Array, ...]:
    """Computes a call of this device's shards; its rules speak of the whole sequences."""
    here = jax.lax.axis_index(way.layout.axis)
    own = way.layout.positions(here, call.rules.sizes.queries)
    return _shard(way, dataclasses.replace(call, rules=of_queries(call.rules, own)), table)


def _shard(way: Way, call: AttentionCall, table: Any) -> tuple[Array, ...]:
    if way.strategy == "ring":
        result = ring.run(call, way.layout, way.hops, table)
    else:
        result = gathered.run(call, way.layout, way.further is not None)
    return asked_for(result, way.further)
