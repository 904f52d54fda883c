"""Comba."""

from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.members.common import (
    Options,
    entrance,
    known_arguments,
    not_negative,
    parameter,
    per_head,
)
from attnjax.ops.linear.members.delta_rule import delta_rule


@known_arguments
def comba(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: Float[Array, "*B T K"],
    strength: Float[Array, "*B T K"],
    feedback: Float[Array, " K"],
    correction: Float[Array, " K"],
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Comba: the gated delta rule in a closed loop, which erases less than it writes and corrects queries.

        S_t = e^{g_t} (I - b β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ;  o_t = scale · S_tᵀ (q_t - d k_t)

    With b = 1 and d = 0 it is Gated DeltaNet.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point, each of length 1.
      value: [*B, T, K, V], floating point.
      decay: [*B, T, K], g <= 0, one per key head and token.
      strength: [*B, T, K], β, in [0, 1].
      feedback: [K], b, in [0, 1], one per key head.
      correction: [K], d, one per key head.
      scale: scalar, of the query; None = 1/√H.

    Raises:
      ValueError: a strength or a feedback is negative.

    References:
      Hu et al., Comba: Improving Bilinear RNNs with Closed-loop Control, 2025 (arXiv:2506.02475).

    Example:
      >>> x, half, one = jnp.ones((3, 1, 1)), jnp.full((3, 1), 0.5), jnp.ones(1)
      >>> print(comba(x, x, x, decay=jnp.log(half), strength=half, feedback=one, correction=one / 2).ravel())
      [0.25     0.3125   0.328125]
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_head("decay", decay, key, options)
    strength = per_head("strength", strength, key, options)
    heads = key.shape[-2]
    feedback = not_negative("feedback", parameter("feedback", feedback, (heads,), "K"))
    correction = parameter("correction", correction, (heads,), "K")
    taken = of_rank(correction[:, None], key.ndim) * key
    query = query - jnp.repeat(taken, query.shape[-2] // heads, axis=-2).astype(query.dtype)
    feedback = of_rank(feedback[:, None], key.ndim)
    return delta_rule(query, key, value, strength, decay, scale, options, feedback)
