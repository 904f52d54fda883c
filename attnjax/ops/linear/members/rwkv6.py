"""RWKV-6."""

from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import scalar
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.attention import linear_recurrence
from attnjax.ops.linear.members.common import (
    Options,
    entrance,
    known_arguments,
    parameter,
    passed,
    per_channel,
)


@known_arguments
def rwkv6(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    decay: Float[Array, "*B T K H"],
    bonus: Float[Array, "K H"],
    scale: float | Float[Array, ""] = 1.0,
    **options: Unpack[Options],
) -> Any:
    """RWKV-6: a token reads the state before its own decay, and itself by a bonus.

        o_t = scale · (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ r_t;  S_t = diag(e^{g_t}) S_{t-1} + k_t v_tᵀ

    The paper's r is `query`.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      decay: [*B, T, K, H], g <= 0 (-exp(w) in the paper), one per channel of the key.
      bonus: [K, H], u.
      scale: scalar, of the query.

    References:
      Peng et al., Eagle and Finch, 2024 (arXiv:2404.05892).

    Example:
      >>> x = jnp.ones((3, 1, 1))
      >>> print(rwkv6(x, x, x, decay=jnp.log(0.5 * x), bonus=jnp.full((1, 1), 3.0)).ravel())
      [3.  4.  4.5]
    """
    query, key, value = entrance(query, key, value, options)
    decay = per_channel("decay", decay, key, options)
    bonus = parameter("bonus", bonus, key.shape[-2:], "K, H")
    out, state = linear_recurrence(
        query, key, value, decay=decay, scale=scale, read="before", **passed(options)
    )
    groups = query.reshape(*key.shape[:-1], query.shape[-2] // key.shape[-2], key.shape[-1])
    own = jnp.einsum("...kgh,...kh->...kg", groups, of_rank(bonus, key.ndim) * key)
    own = own[..., None] * value[..., None, :]
    own = scalar("scale", scale) * own.reshape(out.shape)
    out = (out + own).astype(out.dtype)
    return (out, state) if options.get("return_state") else out
