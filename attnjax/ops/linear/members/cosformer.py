"""cosFormer."""

import math
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import scalar_above
from attnjax.ops.core.pairs import surely
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.members.common import (
    Options,
    at_least_float32,
    entrance,
    known_arguments,
    refuse_shards,
)
from attnjax.ops.linear.members.features import normalized


@known_arguments
def cosformer(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    horizon: float | Float[Array, ""],
    two_sided: bool = False,
    **options: Unpack[Options],
) -> Any:
    """cosFormer: weights that fall off with the distance, over their sum.

        w_tj = relu(q_t)·relu(k_j) cos(π/2 · (t - j) / M)

    The state [*B, K, 2·H, V + 1] is turned so that the next token is at 0: it needs no position.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      horizon: M, above 0 and no less than any distance within a sequence (or segment), as the cosine turns
        negative beyond.
      two_sided: the sums run over all tokens instead of those up to t.

    Raises:
      ValueError: M is below T.

    References:
      Qin et al., cosFormer: Rethinking Softmax in Attention, 2022 (arXiv:2202.08791).

    Example:
      >>> x, value = jnp.ones((2, 1, 1)), jnp.array([[[1.0]], [[2.0]]])
      >>> print(jnp.array_str(cosformer(x, x, value, horizon=3).ravel(), precision=3))
      [1.    1.536]
    """
    refuse_shards(options, "its features turn with positions that start anew in each shard")
    query, key, value = entrance(query, key, value, options)
    length = key.shape[-3]
    horizon = scalar_above("horizon", horizon, 0)
    known = options.get("segment_ids") is None and not isinstance(horizon, jax.core.Tracer)
    if known and surely(lambda: horizon < length):
        raise ValueError(f"horizon is {horizon} with T = {length} tokens: expected at least T")

    def turned(x: Array) -> Array:
        x = jax.nn.relu(at_least_float32(x))
        at = of_rank(jnp.arange(length, dtype=x.dtype)[:, None, None], x.ndim)
        angle = (math.pi / 2 / horizon * at).astype(x.dtype)
        return jnp.concatenate([jnp.cos(angle) * x, jnp.sin(angle) * x], -1)

    answer = normalized(turned(query), turned(key), value, two_sided, options)
    if not options.get("return_state"):
        return answer
    out, state = answer
    lengths = options.get("lengths")
    moved = length if lengths is None else jnp.minimum(jnp.asarray(lengths), length)
    angle = math.pi / 2 / horizon * jnp.asarray(moved, state.dtype)
    angle = jnp.broadcast_to(angle, state.shape[:-3]).astype(state.dtype)
    cosine, sine = (f(angle)[..., None, None, None] for f in (jnp.cos, jnp.sin))
    along, across = jnp.split(state, 2, axis=-2)
    return out, jnp.concatenate([cosine * along + sine * across, cosine * across - sine * along], -2)
