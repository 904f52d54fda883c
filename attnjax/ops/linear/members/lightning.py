"""Lightning attention."""

from typing import Any, Unpack

from jaxtyping import Array, Float

from attnjax.ops.core.checks import floats
from attnjax.ops.linear.attention import linear_attention
from attnjax.ops.linear.members.common import (
    Options,
    known_arguments,
    require_layer,
)
from attnjax.ops.linear.members.constant_decay import constant, key_heads
from attnjax.ops.positions import alibi_slopes


@known_arguments
def lightning(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    layer: int = 0,
    layers: int = 1,
    scale: float | Float[Array, ""] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Lightning attention: a state that decays by fixed slopes per head and layer.

        S_t = e^{-s} S_{t-1} + k_t v_tᵀ,  o_t = scale · S_tᵀ q_t
        s = alibi_slopes(K) · (1 - layer / (layers - 1) + 1e-5)

    The last layer hardly forgets. The slopes are those of the authors' code.

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      layer: the number of this layer, from 0.
      layers: the number of layers, at least 1.
      scale: scalar, of the query; None = 1/√H.

    Raises:
      ValueError: the layer is outside [0, layers).

    References:
      Qin et al., Lightning Attention-2, 2024 (arXiv:2401.04658).

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.ones((3, 8, 1))
      >>> print(jnp.array_str(lightning(x, x, x)[:, 0, 0], precision=3))
      [1.    1.607 1.974]
    """
    require_layer(layer, layers)
    key = floats("key", key)
    slopes = constant(alibi_slopes(key_heads(key)), key)
    decay = -slopes * (1 - layer / max(layers - 1, 1) + 1e-5)
    return linear_attention(query, key, value, decay=decay, scale=scale, **options)
