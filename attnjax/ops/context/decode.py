"""context_decode(): few queries against keys that lie in shards on a mesh axis."""

import dataclasses
import functools
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from attnjax.ops.arguments import AttentionOptions, extras, make_call
from attnjax.ops.attention import asked_for, spread
from attnjax.ops.context.layout import ShardLayout
from attnjax.ops.context.located import located
from attnjax.ops.context.mesh import on_shards, resolved
from attnjax.ops.context.plan import JOINED
from attnjax.ops.core.explicit_axes import automatic
from attnjax.ops.core.manual_axes import bound_axis
from attnjax.ops.core.options import spelled_out
from attnjax.ops.engines import blockwise
from attnjax.ops.engines.call import AttentionCall, Result
from attnjax.ops.engines.choose import choose
from attnjax.ops.normalizers import Softmax, Sums


@spelled_out(AttentionOptions, make_call)
@automatic(spread)
def context_decode(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    *,
    axis: str = "context",
    mesh: Mesh | None = None,
    return_lse: bool = False,
    **options: Unpack[AttentionOptions],
) -> Any:
    """Returns `attention` of queries on every device with keys that are sharded over a mesh axis.

    For decoding with a cache too long for one device: each device attends its own keys, and the results are
    joined by each row's highest score and sum. What is sent is of the size of the queries, not of the cache.

    Outside of `jax.shard_map` the arrays are whole. Inside of one over `axis`, query is whole on each device,
    key and value are its shards, in the devices' order, and all else speaks of the whole cache.

    Args:
      query: [*B, T, N, H], floating point.
      key: [*B, S, K, H]; inside of a shard_map S is the shard's.
      value: [*B, S, K, V].
      axis: the mesh axis over which S is sharded.
      mesh: with that axis; None = the one that `jax.set_mesh` set. Only outside of a shard_map.
      return_lse: as in `attention`.
      **options: as in `attention`; a cached query stands behind its keys by the mask's offset.

    Returns:
      What `attention` returns, on every device.

    Raises:
      TypeError: as `attention`.
      ValueError: as `attention`; the mesh has no such axis, S does not divide, or the normaliser needs whole
        rows.

    Example:
      >>> import attnjax as aj
      >>> mesh = jax.make_mesh((1,), ("context",))
      >>> cache, query = jnp.ones((8, 1, 2)), jnp.ones((1, 1, 2))
      >>> aj.context_decode(query, cache, cache, mesh=mesh, mask=aj.lengths(key=5)).tolist()
      [[[1.0, 1.0]]]
    """
    inside = bound_axis(axis)
    layout = ShardLayout(axis, resolved(axis, mesh, inside))
    call = make_call(query, key, value, **options, shards=None if inside is None else (1, inside))
    layout.check("S", call.rules.sizes.keys)
    normalizer = call.rules.normalizer
    if normalizer.route not in JOINED:
        name = type(normalizer).__name__.lower()
        raise ValueError(f"normalizer is {name}, which needs whole rows: parts of the keys can't be joined")
    run = _shard if inside is not None else functools.partial(_outside, mesh)
    out, *rest = run(layout, extras(call, return_lse, True), call)
    batch = call.rules.sizes.batch
    out, *rest = (x.reshape(*batch, *x.shape[1:]) for x in (out.astype(call.query.dtype), *rest))
    return (out, *rest) if rest else out


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _outside(mesh: Mesh | None, layout: ShardLayout, further: Any, call: AttentionCall) -> tuple[Array, ...]:
    whole, keys = PartitionSpec(), PartitionSpec(None, layout.axis)
    own = AttentionCall(whole, keys, keys, whole, jax.tree.map(lambda _: whole, call.rules))  # type: ignore
    run = on_shards(functools.partial(_shard, layout, further), mesh, layout.axis, (own,), whole)
    found: tuple[Array, ...] = run(call)
    return found


@functools.partial(jax.jit, static_argnums=(0, 1))
def _shard(layout: ShardLayout, further: Any, call: AttentionCall) -> tuple[Array, ...]:
    normalizer, sizes = call.rules.normalizer, call.rules.sizes
    online = isinstance(normalizer, Softmax)
    rules = dataclasses.replace(call.rules, normalizer=Softmax(None)) if online else call.rules
    keys = layout.positions(jax.lax.axis_index(layout.axis), sizes.keys)
    own = dataclasses.replace(call, rules=located(rules, jnp.arange(sizes.queries, dtype=jnp.int32), keys))
    out, sums = choose(own, None, online).engine.run(own)
    if sums is None or not isinstance(normalizer, Softmax):
        return (jax.lax.psum(out, layout.axis),)
    return asked_for(_joined(normalizer, out, sums, layout.axis), further)


def _joined(normalizer: Softmax, out: Array, sums: Sums, axis: str) -> Result:
    """Returns the result over the keys of all devices."""
    seen = jnp.where(sums.total == 0, -jnp.inf, jax.lax.stop_gradient(sums.highest))
    highest = jax.lax.pmax(seen, axis)
    highest = jnp.where(jnp.isneginf(highest), 0, highest)
    share = sums.total * jnp.exp(seen - highest)
    total = jax.lax.psum(share, axis)
    out = jax.lax.psum(out * jnp.moveaxis(share, 1, 2)[..., None], axis)
    highest, total = jnp.moveaxis(highest, 1, 2), jnp.moveaxis(total, 1, 2)
    out = out / jnp.where(total == 0, 1, total)[..., None]
    return blockwise.result(normalizer, out, highest, total)
