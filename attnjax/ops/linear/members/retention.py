"""Retention, the memory of RetNet."""

from typing import Any, Unpack

import numpy as np
from jaxtyping import Array, Float

from attnjax.ops.core.checks import floats
from attnjax.ops.linear.attention import linear_attention
from attnjax.ops.linear.members.common import (
    Options,
    known_arguments,
)
from attnjax.ops.linear.members.constant_decay import constant, key_heads


@known_arguments
def retention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Retention: a state that decays by a fixed factor per head.

        S_t = γ_k S_{t-1} + k_t v_tᵀ, γ_k = 1 - 2^(-5-k) for key head k;  o_t = scale · S_tᵀ q_t

    The paper's rotation of queries and keys is a layer's, and its normaliser cancels in the norm of the
    output that follows.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      scale: scalar, of the query; None = 1/√H.

    References:
      Sun et al., Retentive Network, 2023 (arXiv:2307.08621).

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.ones((3, 1, 1))
      >>> print(jnp.array_str(retention(x, x, x).ravel(), precision=3))
      [1.    1.969 2.907]
    """
    key = floats("key", key)
    decay = np.log1p(-(2.0 ** (-5.0 - np.arange(key_heads(key)))))
    return linear_attention(query, key, value, decay=constant(decay, key), scale=scale, **options)
