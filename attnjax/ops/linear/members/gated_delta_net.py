"""Gated DeltaNet."""

from typing import Any, Unpack

from jaxtyping import Array, Float

from attnjax.ops.linear.members.common import (
    Options,
    entrance,
    known_arguments,
    per_head,
)
from attnjax.ops.linear.members.delta_rule import delta_rule


@known_arguments
def gated_delta_net(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: Float[Array, "*B T K"],
    strength: Float[Array, "*B T K"],
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Gated DeltaNet: the delta rule on a state that decays by one gate per head and token.

        S_t = e^{g_t} (S_{t-1} - β_t k_t (k_tᵀ S_{t-1})) + β_t k_t v_tᵀ;  o_t = scale · S_tᵀ q_t

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point, each of length 1.
      value: [*B, T, K, V], floating point.
      decay: [*B, T, K], g <= 0, one per key head and token.
      strength: [*B, T, K], β, in [0, 1], or up to 2 for negative eigenvalues.
      scale: scalar, of the query; None = 1/√H.

    Raises:
      ValueError: a strength is negative.

    References:
      Yang et al., Gated Delta Networks, 2024 (arXiv:2412.06464).

    Example:
      >>> import jax.numpy as jnp
      >>> x, half = jnp.ones((3, 1, 1)), jnp.full((3, 1), 0.5)
      >>> print(gated_delta_net(x, x, x, decay=jnp.log(half), strength=half).ravel())
      [0.5     0.625   0.65625]
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_head("decay", decay, key, options)
    strength = per_head("strength", strength, key, options)
    return delta_rule(query, key, value, strength, decay, scale, options)
