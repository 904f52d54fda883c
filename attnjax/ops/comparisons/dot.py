"""Products of queries and keys."""

import math
from typing import Any

from jaxtyping import Array

from attnjax.ops.comparisons.base import Compared, Comparison, one_size


def dot() -> Comparison:
    """Returns the comparison q·k, not scaled.

    References:
      Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015
      (arXiv:1508.04025).

    Example:
      >>> import attnjax as aj
      >>> import jax.numpy as jnp
      >>> x = 2 * jnp.eye(2)
      >>> print(aj.matrix_attention(x, x, comparison=dot()))
      [[4. 0.]
       [0. 4.]]
    """
    return Dot()


def scaled_dot() -> Comparison:
    """Returns the comparison q·k/√H, which `attention` makes where it is given none.

    References:
      Vaswani et al., Attention Is All You Need, 2017 (arXiv:1706.03762).

    Example:
      >>> scaled_dot()
      scaled_dot()
    """
    return ScaledDot()


class Dot(Comparison):
    """The comparison that `dot` returns."""

    def prepare(self, query: Array, key: Array, scale: Array, precision: Any) -> Compared:
        """Returns what engines compare."""
        one_size(query, key)
        return Compared(query, key, scale)


class ScaledDot(Dot):
    """The comparison that `scaled_dot` returns."""

    def scale(self, size: int) -> float:
        """Returns the factor of the scores, where the call gives none."""
        return 1 / math.sqrt(size)
