"""A score by a function of your own."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.core.elementwise import elementwise, hoisted
from attnjax.ops.core.masked_pairs import MaskedPairs, masked_pairs
from attnjax.ops.core.node import static
from attnjax.ops.core.pairs import Block, Sizes
from attnjax.ops.scores.base import Score


def score_fn(fn: Callable[..., Any], *params: Any) -> Score:
    """Returns the score fn(s, b, h, i, j, *params), by any function of scalars.

    Differentiable in s, in the `params` and in the arrays that fn closes over. fn may give NaN or have no
    derivative at masked pairs.

    Args:
      fn: function of the score (in the softmax's dtype), the batch element in row-major order, the query
        head, the positions of query and key (int32), and the params.
      *params: pytrees of arrays and numbers.

    Returns:
      The score.

    Raises:
      TypeError: fn is no function, or (when attention is called) gives another dtype.
      ValueError: fn gives another shape than a scalar (when attention is called).

    References:
      Dong et al., Flex Attention: A Programming Model for Generating Optimized Attention Kernels, 2024
      (arXiv:2412.05496).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.ones((3, 1, 4))
      >>> decay = score_fn(lambda s, b, h, i, j, rate: s - rate * jnp.abs(i - j), jnp.array(0.5))
      >>> aj.attention(x, x, x, score=decay, mask=aj.causal()).shape
      (3, 1, 4)
    """
    if not callable(fn):
        raise TypeError(
            f"score_fn got {fn!r}: expected a function fn(score, b, h, q_index, k_index, *params)"
        )
    return ScoreFn(fn, tuple(params))


class ScoreFn(Score):
    """The score that `score_fn` returns."""

    fn: Callable[..., Any] = static()
    params: Any

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        """Returns the score with its arrays laid out for calls of these sizes."""
        score, index = jax.ShapeDtypeStruct((), dtype), jax.ShapeDtypeStruct((), jnp.int32)
        fn, closed_over, result = hoisted(self.fn, score, index, index, index, index, *self.params)
        if getattr(result, "shape", None) != ():
            raise ValueError(f"the score function gives {result} for a scalar score: expected shape []")
        if result.dtype != dtype:
            raise TypeError(
                f"the score function gives {result.dtype} for a score of {dtype}: expected the same"
            )
        return ScoreFn(fn, (*self.params, *closed_over))

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        """Returns the changed scores of a block."""
        if attended is None or 0 in scores.shape:
            return self._map(scores, at, self.params)
        stand_in: MaskedPairs = masked_pairs(attended, scores.shape)
        return self._map(stand_in.scores(scores), stand_in.indices(at), stand_in.params(self.params))

    def _map(self, scores: Array, at: Block, params: Any) -> Array:
        return elementwise(lambda *pair: self.fn(*pair, *params), scores, *at)
