"""Kimi Delta Attention."""

from typing import Any, Unpack

from jaxtyping import Array, Float

from attnjax.ops.linear.members.common import (
    Options,
    entrance,
    known_arguments,
    per_channel,
    per_head,
)
from attnjax.ops.linear.members.delta_rule import delta_rule


@known_arguments
def kda(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: Float[Array, "*B T K H"],
    strength: Float[Array, "*B T K"],
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Kimi Delta Attention: the delta rule on a state that decays by one gate per channel.

        S_t = (I - β_t k_t k_tᵀ) diag(e^{g_t}) S_{t-1} + β_t k_t v_tᵀ;  o_t = scale · S_tᵀ q_t

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point, each of length 1.
      value: [*B, T, K, V], floating point.
      decay: [*B, T, K, H], g <= 0, one per channel of the key.
      strength: [*B, T, K], β, in [0, 1], or up to 2 for negative eigenvalues.
      scale: scalar, of the query; None = 1/√H.

    Raises:
      ValueError: a strength is negative.

    References:
      Kimi Team, Kimi Linear, 2025 (arXiv:2510.26692).

    Example:
      >>> import jax.numpy as jnp
      >>> x, half = jnp.ones((3, 1, 1)), jnp.full((3, 1), 0.5)
      >>> print(kda(x, x, x, decay=jnp.log(half)[..., None], strength=half).ravel())
      [0.5     0.625   0.65625]
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_channel("decay", decay, key, options)
    strength = per_head("strength", strength, key, options)
    return delta_rule(query, key, value, strength, decay, scale, options)
