"""The parts that attention beside the engines has of them: sizes, masks and vectors that are not finite."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.arguments import make_call
from attnjax.ops.core.pairs import Sizes, block


class CleanTokens(NamedTuple):
    """Queries, keys and values without a NaN or inf, in the softmax's dtype, and which pairs attend.

    `lost` is NaN for each key that holds NaN or inf, or whose value does, else 0: added to a score it spoils
    the rows that attend it, and no other.
    """

    query: Float[Array, "*B T N H"]
    key: Float[Array, "*B S N H"]
    value: Float[Array, "*B S N V"]
    attended: Bool[Array, "*B N T S"]
    lost: Float[Array, "*B N 1 S"]
    sizes: Sizes

    def per_query(self, weights: Float[Array, "*B N T S"], dtype: Any) -> Float[Array, "*B T N V"]:
        """Returns the sums of values with these weights."""
        return jnp.einsum("...nts,...snv->...tnv", weights, self.value).astype(dtype)


def tokens_of(query: Any, key: Any, value: Any, mask: Any) -> CleanTokens:
    """Returns checked arguments; TypeError and ValueError as `attention` raises them."""
    call = make_call(query, key, value, mask=mask)
    sizes, heads = call.rules.sizes, call.rules.sizes.heads

    def per_head(x: Array) -> Array:
        x = jnp.repeat(jnp.asarray(x, call.dtype), heads // x.shape[-2], axis=-2)
        return x.reshape(*sizes.batch, *x.shape[-3:])

    query, key, value = (per_head(x) for x in (call.query, call.key, call.value))
    whole = jnp.isfinite(key).all(-1) & jnp.isfinite(value).all(-1)
    if call.rules.mask is None:
        attended = jnp.ones(sizes.pairs, bool)
    else:
        at = block(sizes, jnp.arange(sizes.queries), jnp.arange(sizes.keys))
        attended = call.rules.mask.evaluate(at)
        flat = (sizes.flat_batch, heads, sizes.queries, sizes.keys)
        attended = jnp.broadcast_to(attended, flat).reshape(sizes.pairs)
    lost = jnp.where(jnp.moveaxis(whole, -1, -2), 0, jnp.nan).astype(call.dtype)[..., None, :]
    clean_key, clean_value = (jnp.where(jnp.isfinite(x), x, 0) for x in (key, value))
    return CleanTokens(query, clean_key, clean_value, attended, lost, sizes)


def softmax_of(scores: Array, attended: Array) -> Array:
    """Returns softmax over attended keys; 0 for a row without one."""
    highest = jnp.max(jnp.where(attended, scores, -jnp.inf), axis=-1, keepdims=True)
    highest = jnp.where(jnp.isneginf(highest), 0, highest)
    weights = jnp.where(attended, jnp.exp(jnp.where(attended, scores, highest) - highest), 0)
    total = weights.sum(-1, keepdims=True)
    return weights / jnp.where(total == 0, 1, total)
