"""HGRN2."""

from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.linear.attention import linear_attention
from attnjax.ops.linear.call import log_decay
from attnjax.ops.linear.members.common import (
    Options,
    at_least_float32,
    entrance,
    known_arguments,
)


@known_arguments
def hgrn2(
    query: Float[Array, "*B T N H"],
    log_forget: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    scale: float | Float[Array, ""] = 1.0,
    **options: Unpack[Options],
) -> Any:
    """HGRN2: what is written is what was forgotten.

        S_t = diag(f_t) S_{t-1} + (1 - f_t) v_tᵀ;  o_t = scale · S_tᵀ q_t

    The paper's lower bounds of f are left out, by the layer too.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      log_forget: [*B, T, K, H], log f <= 0, in place of a key.
      value: [*B, T, K, V], floating point.
      scale: scalar, of the query.

    References:
      Qin et al., HGRN2: Gated Linear RNNs with State Expansion, 2024 (arXiv:2404.07904).

    Example:
      >>> x = jnp.ones((3, 1, 1))
      >>> print(hgrn2(x, jnp.log(0.5 * x), x).ravel())
      [0.5   0.75  0.875]
    """
    query, log_forget, value = entrance(query, log_forget, value, options)
    log_decay("log_forget", log_forget)
    key = -jnp.expm1(at_least_float32(log_forget))
    return linear_attention(query, key, value, decay=log_forget, scale=scale, **options)
