"""Scores that stay inside of a range."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import scalar_above
from attnjax.ops.core.pairs import Block, Sizes
from attnjax.ops.scores.base import Score


def softcap(c: float | Float[Array, ""]) -> Score:
    """Returns the score c · tanh(s / c), which stays inside (-c, c).

    Args:
      c: number or array [], above 0; differentiable. One program serves all of its values.

    Returns:
      The score.

    Raises:
      TypeError: c is no number.
      ValueError: c is not above 0, or has axes.

    References:
      Gemma Team, Gemma 2: Improving Open Language Models at a Practical Size, 2024 (arXiv:2408.00118).

    Example:
      >>> import attnjax as aj
      >>> x = 100 * jnp.eye(2)[:, None]
      >>> weights = aj.attention_weights(x, x, score=aj.softcap(2.0))[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[0.88 0.12]
       [0.12 0.88]]
    """
    return Softcap(scalar_above("softcap", c, 0))


class Softcap(Score):
    """The score that `softcap` returns."""

    c: Any

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        """Returns the score with its arrays laid out for calls of these sizes."""
        return Softcap(jnp.asarray(self.c, dtype))

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        """Returns the changed scores of a block."""
        return self.c * jnp.tanh(scores / self.c)
