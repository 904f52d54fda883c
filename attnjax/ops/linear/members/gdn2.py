"""Gated DeltaNet-2."""

from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.linear.attention import linear_attention
from attnjax.ops.linear.call import log_decay
from attnjax.ops.linear.members.common import (
    Options,
    at_least_float32,
    entrance,
    gate,
    known_arguments,
    not_negative,
    per_channel,
)


@known_arguments
def gdn2(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: Float[Array, "*B T K H"],
    erase_strength: Float[Array, "*B T K H"],
    write_strength: Float[Array, "*B T K V"],
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Gated DeltaNet-2: a gate for each channel of the key that is erased and of the value that is written.

        S_t = (I - k_t (b_t ⊙ k_t)ᵀ) diag(e^{g_t}) S_{t-1} + k_t (w_t ⊙ v_t)ᵀ;  o_t = scale · S_tᵀ q_t

    With b = w = β it is Kimi Delta Attention.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point, each of length 1.
      value: [*B, T, K, V], floating point.
      decay: [*B, T, K, H], g <= 0, one per channel of the key.
      erase_strength: [*B, T, K, H], b, in [0, 1], one per channel of the key.
      write_strength: [*B, T, K, V], w, in [0, 1], one per channel of the value.
      scale: scalar, of the query; None = 1/√H.

    Raises:
      ValueError: a strength is negative.

    References:
      Hatamizadeh et al., Gated DeltaNet-2, 2026 (arXiv:2605.22791).

    Example:
      >>> x, half = jnp.ones((3, 1, 1)), jnp.full((3, 1, 1), 0.5)
      >>> print(gdn2(x, x, x, decay=jnp.log(half), erase_strength=half, write_strength=x).ravel())
      [1.     1.25   1.3125]
    """
    query, key, value = entrance(query, key, value, options)
    decay = log_decay("decay", per_channel("decay", decay, key, options))
    erased = not_negative("erase_strength", per_channel("erase_strength", erase_strength, key, options))
    shape, lengths = value.shape, options.get("lengths")
    written = gate("write_strength", write_strength, shape, "*B, T, K, V", lengths)
    written = not_negative("write_strength", written) * at_least_float32(value)
    # What is erased is read before the decay, which therefore joins the erasing key.
    erase = jnp.exp(at_least_float32(decay)) * erased * at_least_float32(key)
    return linear_attention(query, key, written, decay=decay, erase=erase, scale=scale, **options)
