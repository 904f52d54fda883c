"""RWKV-7."""

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
def rwkv7(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: Float[Array, "*B T K H"],
    removal: Float[Array, "*B T K H"],
    learning_rate: Float[Array, "*B T K H"],
    scale: float | Float[Array, ""] = 1.0,
    **options: Unpack[Options],
) -> Any:
    """RWKV-7: what is removed, how much of it, and what is written are three vectors.

        S_t = diag(e^{g_t}) S_{t-1} - (a_t ⊙ κ̂_t) (κ̂_tᵀ S_{t-1}) + k_t v_tᵀ;  o_t = scale · S_tᵀ r_t

    The paper's r is `query`, its state the transpose of this one. Its bonus r·(ρ ⊙ k) v, which follows a norm
    of the output, is left out, by the layer too.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      decay: [*B, T, K, H], g <= 0, one per channel of the key.
      removal: [*B, T, K, H], κ̂, of length 1.
      learning_rate: [*B, T, K, H], a, in [0, 1].
      scale: scalar, of the query.

    References:
      Peng et al., RWKV-7 "Goose", 2025 (arXiv:2503.14456).

    Example:
      >>> import jax.numpy as jnp
      >>> x, half = jnp.ones((3, 1, 1)), jnp.full((3, 1, 1), 0.5)
      >>> print(rwkv7(x, x, x, decay=jnp.log(half), removal=x, learning_rate=half / 2).ravel())
      [1.     1.25   1.3125]
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_channel("decay", decay, key, options)
    removal = per_channel("removal", removal, key, options)
    write = per_channel("learning_rate", learning_rate, key, options) * removal
    return linear_attention(
        query, key, value, decay=decay, erase=removal, write=write, scale=scale, **options
    )
