"""Attention with linear biases."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.checks import floats, positions_of
from attnjax.ops.core.node import position, replace, static
from attnjax.ops.core.pairs import Block, Grid, Sizes, batch_grid
from attnjax.ops.scores.base import Score


def alibi(slopes: Float[Array, " N"], offset: int | Int[Array, "*B"] = 0, *, signed: bool = False) -> Score:
    """Returns the score s - slope_h · |i + offset - j|; the distance is symmetric without a causal mask.

    With `signed` it is s + slope_h · (j - i - offset), which raises the scores of later keys as it lowers
    those of earlier ones: the same where a causal mask leaves j ≤ i + offset. Its softmax is that of BLOOM's
    s + slope_h · j, and negative slopes give the other sign.

    Args:
      slopes: [N], as from `alibi_slopes`; differentiable.
      offset: number of cached keys, one for all rows or one for each.
      signed: whether later keys are farther in the other direction.

    Returns:
      The score.

    Raises:
      TypeError: slopes are not floating point.
      ValueError: slopes are not one per head (when attention is called).

    References:
      Press et al., Train Short, Test Long: Attention with Linear Biases, 2021 (arXiv:2108.12409).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.zeros((3, 1, 4))
      >>> weights = aj.attention_weights(x, x, score=aj.alibi(jnp.array([1.0])))[0, 0]
      >>> print(jnp.array_str(weights, precision=2))
      [0.67 0.24 0.09]
    """
    return Alibi(floats("slopes", slopes), positions_of("offset", offset), signed)


class Alibi(Score):
    """The score that `alibi` returns."""

    slopes: Any
    offset: Any = position()
    signed: bool = static()

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        """Returns the score with its arrays laid out for calls of these sizes."""
        if self.slopes.shape != (sizes.heads,):
            raise ValueError(f"slopes has shape {list(self.slopes.shape)}: expected [{sizes.heads}] (N)")
        slopes = Grid(self.slopes.astype(dtype)[None, :, None, None])
        return replace(self, slopes=slopes, offset=batch_grid("offset", self.offset, sizes))

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        """Returns the changed scores of a block."""
        distance = at.q + self.offset.array - at.k
        distance = distance if self.signed else jnp.abs(distance)
        return scores - self.slopes.array * distance.astype(scores.dtype)
