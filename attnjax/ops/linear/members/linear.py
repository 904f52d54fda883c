"""Linear attention."""

from collections.abc import Callable
from typing import Any, Unpack

import jax
from jaxtyping import Array, Float

from attnjax.ops.linear.members.common import (
    Options,
    at_least_float32,
    entrance,
    known_arguments,
)
from attnjax.ops.linear.members.features import normalized


def elu_plus_one(x: Array) -> Array:
    """Returns elu(x) + 1, above 0."""
    return jax.nn.elu(x) + 1


@known_arguments
def linear(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    feature_map: Callable[[Array], Array] = elu_plus_one,
    two_sided: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Linear attention: features in place of the softmax, with φ = elu + 1.

        o_t = Σ_j φ(q_t)ᵀφ(k_j) v_j / Σ_j φ(q_t)ᵀφ(k_j) over j ≤ t

    The state is [*B, K, F, V + 1].

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      feature_map: φ, from [..., H] to features [..., F] that are not negative.
      two_sided: the sums run over all tokens instead of those up to t.

    References:
      Katharopoulos et al., Transformers are RNNs, 2020 (arXiv:2006.16236).

    Example:
      >>> import jax.numpy as jnp
      >>> x, value = jnp.zeros((3, 1, 2)), jnp.array([[[1.0]], [[2.0]], [[6.0]]])
      >>> print(linear(x, x, value).ravel(), linear(x, x, value, two_sided=True).ravel())
      [1.  1.5 3. ] [3. 3. 3.]
    """
    query, key, value = entrance(query, key, value, options)
    query, key = feature_map(at_least_float32(query)), feature_map(at_least_float32(key))
    return normalized(query, key, value, two_sided, options)
