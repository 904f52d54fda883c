"""Dropout of attention weights that any engine can evaluate on any block, with the same bits."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from attnjax.ops.core.node import PytreeNode
from attnjax.ops.core.pairs import Grid, Sizes


class WeightDropout(PytreeNode):
    """Keeps a weight with probability 1 - rate and scales it by 1/(1 - rate).

    Every row (b, h, i) and every key j holds one random word from jax.random; the bits of a pair are a mix of
    its two words. So they need memory of B·N·T + S words, and a block needs no other.
    """

    rows: Any
    columns: Any
    rate: Any

    def __call__(self, weights: Float[Array, "B N t s"]) -> Float[Array, "B N t s"]:
        """Returns the weights, some of them 0 and the others scaled."""
        rate = jax.lax.stop_gradient(jnp.asarray(self.rate, weights.dtype))
        threshold = (rate.astype(jnp.float32) * 2.0**32).astype(jnp.uint32)
        keep = _mix(self.rows.array ^ self.columns.array) >= threshold
        return jnp.where(keep, weights / (1 - rate), 0)


def dropout(key: PRNGKeyArray, rate: Any, sizes: Sizes) -> WeightDropout:
    """The dropout of one call; `rate` in [0, 1) may be a traced scalar."""
    row_key, column_key = jax.random.split(key)
    rows = jax.random.bits(row_key, (sizes.flat_batch, sizes.heads, sizes.queries, 1), jnp.uint32)
    columns = jax.random.bits(column_key, (1, 1, 1, sizes.keys), jnp.uint32)
    return WeightDropout(Grid(rows), Grid(columns), jnp.asarray(rate, jnp.float32))


def _mix(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """The finaliser of MurmurHash3 (Appleby, 2011): a bit of x flips each bit of the result half the time."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
