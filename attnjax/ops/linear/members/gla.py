"""Gated linear attention."""

from typing import Any, Unpack

from jaxtyping import Array, Float

from attnjax.ops.linear.attention import linear_attention
from attnjax.ops.linear.members.common import (
    Options,
    entrance,
    known_arguments,
    per_channel,
)


@known_arguments
def gla(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: Float[Array, "*B T K H"],
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Gated linear attention: a state that decays by one gate per channel of the key.

        S_t = diag(e^{g_t}) S_{t-1} + k_t v_tᵀ;  o_t = scale · S_tᵀ q_t

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      decay: [*B, T, K, H], g <= 0, one per channel of the key.
      scale: scalar, of the query; None = 1/√H.

    References:
      Yang et al., Gated Linear Attention Transformers, 2023 (arXiv:2312.06635).

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.ones((3, 1, 2))
      >>> gla(x, x, x, decay=jnp.log(jnp.array([[[1.0, 0.5]]])), scale=1.0)[:, 0, 0]
      Array([2.  , 3.5 , 4.75], dtype=float32)
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_channel("decay", decay, key, options)
    return linear_attention(query, key, value, decay=decay, scale=scale, **options)
