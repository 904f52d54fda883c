"""Mechanisms of a user's own, one of each kind, and an experiment's file beside them."""

import jax
import jax.numpy as jnp
from flax import nnx

from attnjax.mechanisms import Gate, mechanism
from attnjax.nn import AttentionOutput, KVCache
from attnjax.ops import masks, scores
from attnjax.ops.linear.attention import linear_attention


@mechanism("mask")
def every_other(step: int = 2, *, offset=0):
    """Token i sees every other token from itself."""
    return masks.dilated(step, offset)


@mechanism("score")
class Temperature(nnx.Module):
    """s_ij times a learned number of each layer."""

    def __init__(self, start: float = 2.0, *, rngs: nnx.Rngs) -> None:
        self.factor = nnx.Param(jnp.array(start), axes=())

    def __call__(self):
        return scores.score_fn(lambda s, b, h, i, j, factor: s * factor, self.factor[...])


@mechanism("attention", causal_only=True)
def mean_of_all(query, key, value, *, mask, power: float = 1.0):
    """o_t is the mean of the values that it sees."""
    rows = query.shape[-3], key.shape[-3]
    seen = mask.materialize(*rows, batch=query.shape[:-3])[..., 0, :, :].astype(value.dtype)
    weights = seen / seen.sum(-1, keepdims=True)
    out = jnp.einsum("...ts,...skv->...tkv", weights, value) ** power
    return jnp.repeat(out, query.shape[-2] // value.shape[-2], axis=-2)


@mechanism("recurrence", gates={"decay": Gate("*B T K", "log_decay")}, two_sided="sum")
def my_gla(query, key, value, *, decay, **options):
    """S_t = e^{g_t} S_{t-1} + k_t v_tᵀ; o_t = S_tᵀ q_t."""
    return linear_attention(query, key, value, decay=decay, **options)


@mechanism("layer")
class Passing(nnx.Module):
    """x W: no token sees another."""

    has_weights = False

    def __init__(self, dim: int, heads: int, *, gain: float = 1.0, rngs: nnx.Rngs) -> None:
        self.gain = gain
        self.linear = nnx.Linear(dim, dim, rngs=rngs)

    def __call__(self, x, *, mask=None, cache=None):
        kept = None if cache is None else KVCache(cache.keys, cache.values, cache.length + x.shape[-2])
        return AttentionOutput(self.gain * self.linear(x), kept, None)

    def empty_cache(self, batch, capacity, dtype):
        return KVCache.empty(batch, 0, kv_heads=1, head_dim=1, dtype=dtype)


assert jax
