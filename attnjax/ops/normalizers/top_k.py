"""Softmax over the highest scores of a row alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.core.checks import count as at_least_one
from attnjax.ops.core.node import static
from attnjax.ops.normalizers.base import Normalizer
from attnjax.ops.normalizers.softmax import Softmax


def top_k(count: int) -> Normalizer:
    """Returns the softmax over the `count` highest scores of a row; the others weigh 0.

    Scores equal to the last of them weigh as much as it does. The choice has no gradient, the weights have
    that of a softmax over what was chosen.

    Args:
      count: scores, at least 1; a program is compiled for each value.

    Returns:
      The normaliser.

    Raises:
      TypeError: count is no int.
      ValueError: count is below 1.

    References:
      Zhao et al., Explicit Sparse Transformer: Concentrated Attention Through Explicit Selection, 2019
      (arXiv:1912.11637).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.array([0.0, 0.5, 2.0])[:, None, None]
      >>> weights = aj.attention_weights(x, x, normalizer=top_k(2))[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[0.33 0.33 0.33]
       [0.   0.32 0.68]
       [0.   0.05 0.95]]
    """
    return TopK(at_least_one("count", count))


class TopK(Normalizer):
    """The normaliser that `top_k` returns."""

    count: int = static()

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        """Returns the weights of whole rows of scores."""
        count = min(self.count, scores.shape[-1])
        if count == 0:
            return scores, None
        least = jax.lax.top_k(jax.lax.stop_gradient(scores), count)[0][..., -1:]
        # A row with NaN stays one, and so is lost as a whole.
        return Softmax(None).weights(jnp.where(scores < least, -jnp.inf, scores), attended)[0], None
