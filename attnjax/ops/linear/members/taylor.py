"""Members whose kernel is a polynomial of second degree: Based and ReBased."""

import math
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.members.common import Options, at_least_float32, entrance, known_arguments, parameter
from attnjax.ops.linear.members.kernels import normalized


@known_arguments
def based(
    query: Any,
    key: Any,
    value: Any,
    *,
    two_sided: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Weights 1 + x + x²/2 of x = q·k/√H, over their sum: the exponential's first terms.

    State [*B, K, 1 + H + H·(H+1)/2, V + 1]: H is meant to be small, 16 in the paper. With `two_sided` the
    sums are over all tokens. Other arguments and errors as in `linear_attention`. Simple linear attention
    language models balance the recall-throughput tradeoff (Arora et al., 2024).

    >>> x, value = jnp.array([[[0.0]], [[2.0]]]), jnp.array([[[1.0]], [[7.0]]])
    >>> print(jnp.array_str(based(x, x, value).ravel(), precision=3))  # weights of the second: 1, 1 + 4 + 8
    [1.    6.571]
    """

    def features(x: Array) -> Array:
        x = at_least_float32(x) * x.shape[-1] ** -0.25
        return jnp.concatenate([jnp.ones_like(x[..., :1]), x, products(x) / math.sqrt(2)], -1)

    query, key, value = entrance(query, key, value, options)
    return normalized(features(query), features(key), value, two_sided, options)


@known_arguments
def rebased(
    query: Any,
    key: Any,
    value: Any,
    *,
    query_gain: Float[Array, " H"] | None = None,
    query_shift: Float[Array, " H"] | None = None,
    key_gain: Float[Array, " H"] | None = None,
    key_shift: Float[Array, " H"] | None = None,
    two_sided: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Weights (q'·k')², q' = γ_q ⊙ norm(q) + β_q, k' = γ_k ⊙ norm(k) + β_k, over their sum.

    norm takes away the mean and divides by the standard deviation of the channels. `query_gain`,
    `query_shift`, `key_gain`, `key_shift` [H] are γ_q, β_q, γ_k, β_k; None = 1 or 0. State
    [*B, K, H·(H+1)/2, V + 1]. With `two_sided` the sums are over all tokens. Other arguments and errors as in
    `linear_attention`. Linear Transformers with Learnable Kernel Functions (Aksenov et al., 2024).

    >>> x = jnp.array([[[1.0, -1.0]], [[2.0, 0.0]]])
    >>> print(rebased(x, x, x[..., :1], key_shift=jnp.ones(2)).ravel())
    [1.  1.5]
    """
    query, key, value = entrance(query, key, value, options)

    def features(x: Array, which: str, gain: Any, shift: Any) -> Array:
        x = jax.nn.standardize(at_least_float32(x), epsilon=1e-5)
        if gain is not None:
            gain = parameter(f"{which}_gain", gain, x.shape[-1:], "H")
            x = x * of_rank(gain.astype(x.dtype), x.ndim)
        if shift is not None:
            shift = parameter(f"{which}_shift", shift, x.shape[-1:], "H")
            x = x + of_rank(shift.astype(x.dtype), x.ndim)
        return products(x)

    q = features(query, "query", query_gain, query_shift)
    return normalized(q, features(key, "key", key_gain, key_shift), value, two_sided, options)


def products(x: Float[Array, "... H"]) -> Float[Array, "... F"]:
    """Features with products(x)·products(y) = (x·y)²: each pair of channels once, F = H·(H+1)/2.

    >>> print(products(jnp.array([1.0, 2.0])))
    [1.        2.828427  4.       ]
    """
    i, j = np.triu_indices(x.shape[-1])
    weight = jnp.asarray(np.where(i == j, 1, math.sqrt(2)), x.dtype)
    return of_rank(weight, x.ndim) * x[..., i] * x[..., j]
