"""Attention of a shard's queries to all keys, which every device gathers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from attnjax.ops.context.layout import ShardLayout
from attnjax.ops.context.located import located
from attnjax.ops.engines.call import AttentionCall, Result
from attnjax.ops.engines.choose import choose


def run(call: AttentionCall, layout: ShardLayout, sums: bool) -> Result:
    """Computes a call of this device's tokens; its rules hold its queries, and all keys."""
    sizes = call.rules.sizes
    queries = layout.positions(jax.lax.axis_index(layout.axis), sizes.queries)
    place = np.argsort(layout.order_of(sizes.keys))

    def all_of(x: jax.Array) -> jax.Array:
        x = jax.lax.all_gather(x, layout.axis, axis=1, tiled=True)
        return x if layout.order == "contiguous" else jnp.take(x, place, axis=1)

    whole = dataclasses.replace(
        call, key=all_of(call.key), value=all_of(call.value), rules=located(call.rules, queries, None)
    )
    return choose(whole, None, sums).engine.run(whole)
