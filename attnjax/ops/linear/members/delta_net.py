"""DeltaNet."""

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
def delta_net(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    strength: Float[Array, "*B T K"],
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """DeltaNet: a write erases what its key held.

        S_t = S_{t-1} - β_t k_t (k_tᵀ S_{t-1}) + β_t k_t v_tᵀ;  o_t = scale · S_tᵀ q_t

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point, each of length 1.
      value: [*B, T, K, V], floating point.
      strength: [*B, T, K], β, in [0, 1], or up to 2 for negative eigenvalues.
      scale: scalar, of the query; None = 1/√H.

    Raises:
      ValueError: a strength is negative.

    References:
      Schlag et al., Linear Transformers Are Secretly Fast Weight Programmers, 2021 (arXiv:2102.11174).
      Yang et al., Parallelizing Linear Transformers with the Delta Rule, 2024 (arXiv:2406.06484).

    Example:
      >>> import jax.numpy as jnp
      >>> x, value = jnp.ones((3, 1, 1)), jnp.array([[[1.0]], [[5.0]], [[3.0]]])
      >>> print(delta_net(x, x, value, strength=jnp.full((3, 1), 0.5)).ravel())
      [0.5   2.75  2.875]
    """
    query, key, value = entrance(query, key, value, options)
    strength = per_head("strength", strength, key, options)
    return delta_rule(query, key, value, strength, None, scale, options)
