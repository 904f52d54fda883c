"""Based."""

import math
from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.linear.members.common import Options, at_least_float32, entrance, known_arguments
from attnjax.ops.linear.members.features import normalized
from attnjax.ops.linear.members.polynomial import products


@known_arguments
def based(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    two_sided: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Based: the first terms of the exponential as weights, over their sum.

        w_tj = 1 + x + x²/2 of x = q_t·k_j/√H

    The state is [*B, K, 1 + H + H·(H+1)/2, V + 1]: H is meant to be small, 16 in the paper.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      two_sided: the sums run over all tokens instead of those up to t.

    References:
      Arora et al., Simple linear attention language models balance the recall-throughput tradeoff, 2024
        (arXiv:2402.18668).

    Example:
      >>> x, value = jnp.array([[[0.0]], [[2.0]]]), jnp.array([[[1.0]], [[7.0]]])
      >>> print(jnp.array_str(based(x, x, value).ravel(), precision=3))  # weights of the second: 1, 1 + 4 + 8
      [1.    6.571]
    """

    def features(x: Array) -> Array:
        x = at_least_float32(x) * x.shape[-1] ** -0.25
        return jnp.concatenate([jnp.ones_like(x[..., :1]), x, products(x) / math.sqrt(2)], -1)

    query, key, value = entrance(query, key, value, options)
    return normalized(features(query), features(key), value, two_sided, options)
