"""A bias for each pair."""

from typing import Any

from jaxtyping import Array, Float

from attnjax.ops.core.checks import floats
from attnjax.ops.core.node import replace, static
from attnjax.ops.core.pairs import Block, Grid, Sizes, pair_grid
from attnjax.ops.scores.base import Score


def pair_bias(array: Float[Array, "..."]) -> Score:
    """Returns the score s + array; its gradient is reduced over what was broadcast.

    Args:
      array: broadcastable to [*B, N, T, S]; differentiable.

    Returns:
      The score.

    Raises:
      TypeError: the array is not floating point.
      ValueError: its shape does not broadcast (when attention is called).

    Example:
      >>> import attnjax as aj
      >>> import jax.numpy as jnp
      >>> x, bias = jnp.zeros((2, 1, 4)), jnp.log(jnp.array([[1.0, 3.0], [1.0, 1.0]]))
      >>> weights = aj.attention_weights(x, x, score=aj.pair_bias(bias))[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[0.25 0.75]
       [0.5  0.5 ]]
    """
    return PairBias(floats("pair_bias", array), "pair_bias")


class PairBias(Score):
    """The score that `pair_bias` returns."""

    array: Any
    name: str = static()

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        """Returns the score with its arrays laid out for calls of these sizes."""
        grid = pair_grid(self.name, self.array, sizes)
        return replace(self, array=Grid(grid.array.astype(dtype)))

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        """Returns the changed scores of a block."""
        return scores + self.array.array
