"""The angle between query and key."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.comparisons.base import Compared, Comparison, of_heads, one_size
from attnjax.ops.core.checks import floats, scalar_above
from attnjax.ops.core.ranks import of_rank

SHORTEST = 1e-6
"""Vectors below this length are divided by it, not by their length."""


def cosine(temperature: float | Float[Array, " N"] | Float[Array, ""] = 1.0) -> Comparison:
    """Returns the comparison cos(q, k)/τ = q·k / (|q|·|k|·τ).

    Args:
      temperature: τ above 0, one number or one for each head; differentiable.

    Returns:
      The comparison.

    Raises:
      TypeError: the temperature is not floating point.
      ValueError: it is not above 0, or not of the shape [] or [N] (when attention is called).

    References:
      Graves et al., Neural Turing Machines, 2014 (arXiv:1410.5401).
      Liu et al., Swin Transformer V2: Scaling Up Capacity and Resolution, 2021 (arXiv:2111.09883).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.array([[3.0, 0.0], [0.0, 0.5]])
      >>> print(aj.matrix_attention(x, x, comparison=cosine(0.5)))
      [[2. 0.]
       [0. 2.]]
    """
    if jnp.ndim(temperature) == 0:
        return Cosine(scalar_above("temperature", temperature, 0))
    return Cosine(floats("temperature", temperature))


class Cosine(Comparison):
    """The comparison that `cosine` returns."""

    temperature: Any

    def prepare(self, query: Array, key: Array, scale: Array, precision: Any) -> Compared:
        """Returns what engines compare."""
        one_size(query, key)
        temperature = jnp.asarray(self.temperature, query.dtype)
        temperature = of_heads("temperature", temperature, {}, query.shape[-2])
        return Compared(_unit(query) / of_rank(temperature[:, None], query.ndim), _unit(key), scale)


def _unit(x: Array) -> Array:
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, SHORTEST**2))
