"""ReBased."""

from typing import Any, Unpack

import jax
from jaxtyping import Array, Float

from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.members.common import Options, at_least_float32, entrance, known_arguments, parameter
from attnjax.ops.linear.members.features import normalized
from attnjax.ops.linear.members.polynomial import products


@known_arguments
def rebased(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    query_gain: Float[Array, " H"] | None = None,
    query_shift: Float[Array, " H"] | None = None,
    key_gain: Float[Array, " H"] | None = None,
    key_shift: Float[Array, " H"] | None = None,
    two_sided: bool = False,
    **options: Unpack[Options],
) -> Any:
    """ReBased: squares of learned features as weights, over their sum.

        w_tj = (q'_t·k'_j)²,  q' = γ_q ⊙ norm(q) + β_q,  k' = γ_k ⊙ norm(k) + β_k

    norm takes away the mean and divides by the standard deviation of the channels. The state is
    [*B, K, H·(H+1)/2, V + 1].

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      query_gain: [H], γ_q; None = 1.
      query_shift: [H], β_q; None = 0.
      key_gain: [H], γ_k; None = 1.
      key_shift: [H], β_k; None = 0.
      two_sided: the sums run over all tokens instead of those up to t.

    References:
      Aksenov et al., Linear Transformers with Learnable Kernel Functions, 2024 (arXiv:2402.10644).

    Example:
      >>> import jax.numpy as jnp
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
