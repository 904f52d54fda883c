"""HGRN2."""

import math
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
    require_layer,
)


@known_arguments
def hgrn2(
    query: Float[Array, "*B T N H"],
    log_forget: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    layer: int = 0,
    layers: int = 1,
    scale: float | Float[Array, ""] = 1.0,
    **options: Unpack[Options],
) -> Any:
    """HGRN2: what is written is what was forgotten.

        S_t = diag(f_t) S_{t-1} + (1 - f_t) v_tᵀ;  o_t = scale · S_tᵀ q_t
        f = γ + (1 - γ) e^{log_forget},  γ = layer / layers

    γ, below which nothing is kept, grows with depth. The paper learns how, for all layers together; that is
    left out, by the layer too.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      log_forget: [*B, T, K, H], log f <= 0, in place of a key.
      value: [*B, T, K, V], floating point.
      layer: the number of this layer, from 0.
      layers: the number of layers, at least 1.
      scale: scalar, of the query.

    Raises:
      ValueError: the layer is outside [0, layers).

    References:
      Qin et al., HGRN2: Gated Linear RNNs with State Expansion, 2024 (arXiv:2404.07904).

    Example:
      >>> x = jnp.ones((3, 1, 1))
      >>> print(hgrn2(x, jnp.log(0.5 * x), x).ravel())
      [0.5   0.75  0.875]
    """
    require_layer(layer, layers)
    query, log_forget, value = entrance(query, log_forget, value, options)
    log_decay("log_forget", log_forget)
    log_kept = at_least_float32(log_forget)
    if layer:
        log_kept = jnp.logaddexp(math.log(layer / layers), math.log1p(-layer / layers) + log_kept)
    return linear_attention(query, -jnp.expm1(log_kept), value, decay=log_kept, scale=scale, **options)
