"""Simple GLA."""

from typing import Any, Unpack

from jaxtyping import Array, Float

from attnjax.ops.linear.attention import linear_attention
from attnjax.ops.linear.members.common import (
    Options,
    entrance,
    known_arguments,
    per_head,
)


@known_arguments
def simple_gla(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: Float[Array, "*B T K"],
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Simple GLA: a state that decays by one gate per head and token.

        S_t = e^{g_t} S_{t-1} + k_t v_tᵀ;  o_t = scale · S_tᵀ q_t

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      decay: [*B, T, K], g <= 0, one per key head and token.
      scale: scalar, of the query; None = 1/√H.

    References:
      Sun et al., You Only Cache Once (its gated retention), 2024 (arXiv:2405.05254).
      Yang et al., Gated Linear Attention Transformers, 2023 (arXiv:2312.06635).

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.ones((3, 1, 1))
      >>> print(simple_gla(x, x, x, decay=jnp.log(jnp.array([[1.0], [0.5], [0.25]]))).ravel())
      [1.    1.5   1.375]
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_head("decay", decay, key, options)
    return linear_attention(query, key, value, decay=decay, scale=scale, **options)
