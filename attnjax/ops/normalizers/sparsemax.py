"""Sparsemax: the nearest point of the simplex."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.ranks import of_rank
from attnjax.ops.normalizers.base import Normalizer, shifted


def sparsemax() -> Normalizer:
    """Returns the normaliser that takes the point of the simplex nearest to the scores: many weights are 0.

    Returns:
      The normaliser.

    References:
      Martins and Astudillo, From Softmax to Sparsemax, 2016 (arXiv:1602.02068).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.array([0.0, 0.5, 2.0])[:, None, None]
      >>> weights = aj.attention_weights(x, x, normalizer=aj.sparsemax())[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[0.33 0.33 0.33]
       [0.   0.12 0.88]
       [0.   0.   1.  ]]
    """
    return Sparsemax()


class Sparsemax(Normalizer):
    """The normaliser that `sparsemax` returns."""

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        """Returns the weights of whole rows of scores."""
        return sparsemax_weights(scores), None


def sparsemax_weights(scores: Float[Array, "*rows S"]) -> Float[Array, "*rows S"]:
    """Returns [s - τ]₊ with τ so that a row sums to 1, by sorting (algorithm 1 of the paper)."""
    present, z = shifted(scores)
    if z.shape[-1] == 0:
        return z
    # Entries that take no part are sorted behind all others: shifted scores of the support lie above -1.
    ordered = -jnp.sort(jnp.where(present, -jax.lax.stop_gradient(z), 2.0), axis=-1)
    rank = of_rank(jnp.arange(1, z.shape[-1] + 1, dtype=z.dtype), z.ndim)
    size = jnp.sum(1 + rank * ordered > jnp.cumsum(ordered, axis=-1), axis=-1, keepdims=True)
    last = jnp.take_along_axis(ordered, jnp.maximum(size - 1, 0), axis=-1)
    support = present & (jax.lax.stop_gradient(z) >= last)
    count = jnp.maximum(support.sum(axis=-1, keepdims=True, dtype=z.dtype), 1)
    threshold = (jnp.where(support, z, 0).sum(axis=-1, keepdims=True) - 1) / count
    return jnp.where(support, z - threshold, 0)
