"""Products through a matrix."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.comparisons.base import Compared, Comparison, OfTokens, of_heads
from attnjax.ops.core.checks import floats


def general(weight: Float[Array, "N H R"] | Float[Array, "H R"]) -> Comparison:
    """Returns the comparison qᵀ W k, of queries of size H with keys of size R.

    Args:
      weight: W of each head, or one for all.

    Returns:
      The comparison.

    Raises:
      TypeError: the weight is not floating point.
      ValueError: its shape does not fit (when attention is called).

    References:
      Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015
      (arXiv:1508.04025).

    Example:
      >>> import attnjax as aj
      >>> swap = jnp.array([[0.0, 1.0], [1.0, 0.0]])
      >>> print(aj.matrix_attention(jnp.eye(2), jnp.eye(2), comparison=general(swap)))
      [[0. 1.]
       [1. 0.]]
    """
    return Bilinear(floats("weight", weight), None)


def bilinear(
    weight: Float[Array, "N H R"] | Float[Array, "H R"], bias: Float[Array, " N"] | Float[Array, ""]
) -> Comparison:
    """Returns the comparison qᵀ W k + b; the softmax of it is that of `general`, a sigmoid is not.

    Args:
      weight: W of each head, or one for all.
      bias: b of each head, or one for all.

    Returns:
      The comparison.

    Raises:
      TypeError: weight or bias is not floating point.
      ValueError: a shape does not fit (when attention is called).

    References:
      Kim et al., Bilinear Attention Networks, 2018 (arXiv:1805.07932).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.eye(2)
      >>> print(aj.matrix_attention(x, x, comparison=bilinear(x, jnp.array(0.5))))
      [[1.5 0.5]
       [0.5 1.5]]
    """
    return Bilinear(floats("weight", weight), floats("bias", bias))


class Bilinear(Comparison):
    """The comparison that `general` and `bilinear` return."""

    weight: Any
    bias: Any

    def prepare(self, query: Array, key: Array, scale: Array, precision: Any) -> Compared:
        """Returns what engines compare."""
        sizes = {"H": query.shape[-1], "R": key.shape[-1]}
        weight = of_heads("weight", self.weight, sizes, query.shape[-2]).astype(query.dtype)
        query = jnp.einsum("...tnh,nhr->...tnr", query, weight, precision=precision)
        if self.bias is None:
            return Compared(query, key, scale)
        bias = of_heads("bias", self.bias, {}, query.shape[-2]).astype(query.dtype)
        return Compared(query, key, scale, OfTokens(query=scale * bias[None]))
