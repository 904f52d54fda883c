"""Distances: what is near weighs much."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.comparisons.base import Compared, Comparison, OfTokens, of_heads, one_size, per_query_head
from attnjax.ops.core.checks import floats, scalar_above
from attnjax.ops.core.ranks import of_rank


def l2() -> Comparison:
    """Returns the comparison -|q - k|²/√H, from lengths and products: its digits are those of |q|² + |k|².

    References:
      Kim et al., The Lipschitz Constant of Self-Attention, 2020 (arXiv:2006.04710).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.array([[0.0], [2.0]])
      >>> print(-aj.matrix_attention(x, x, comparison=l2()))
      [[-0.  4.]
       [ 4. -0.]]
    """
    return L2()


def rbf(gamma: float | Float[Array, " N"] | Float[Array, ""]) -> Comparison:
    """Returns the comparison -γ·|q - k|²: softmax weighs with the kernel exp(-γ·|q - k|²) over its sum.

    Args:
      gamma: γ above 0, one number or one for each head; differentiable.

    Returns:
      The comparison.

    Raises:
      TypeError: γ is not floating point.
      ValueError: γ is not above 0, or not of the shape [] or [N] (when attention is called).

    References:
      Tsai et al., Transformer Dissection: A Unified Understanding of Transformer's Attention via the Lens of
      Kernel, 2019 (arXiv:1908.11775).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.array([[0.0], [2.0]])
      >>> print(aj.matrix_attention(x, x, comparison=rbf(0.5)) + 0.0)
      [[ 0. -2.]
       [-2.  0.]]
    """
    if jnp.ndim(gamma) == 0:
        return Rbf(scalar_above("gamma", gamma, 0))
    return Rbf(floats("gamma", gamma))


class Rbf(Comparison):
    """The comparison that `rbf` returns."""

    gamma: Any = 1.0

    def prepare(self, query: Array, key: Array, scale: Array, precision: Any) -> Compared:
        """Returns what engines compare."""
        one_size(query, key)
        heads = query.shape[-2]
        gamma = of_heads("gamma", jnp.asarray(self.gamma, query.dtype), {}, heads)
        gamma = of_rank(gamma, query.ndim - 1)
        far = OfTokens(
            query=-scale * gamma * jnp.sum(query * query, axis=-1),
            key=-scale * gamma * per_query_head(jnp.sum(key * key, axis=-1, keepdims=True), heads)[..., 0],
        )
        return Compared(2 * gamma[..., None] * query, key, scale, far)


class L2(Rbf):
    """The comparison that `l2` returns."""

    def scale(self, size: int) -> float:
        """Returns the factor of the scores, where the call gives none."""
        return 1 / math.sqrt(size)
