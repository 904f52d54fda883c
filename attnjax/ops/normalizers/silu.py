"""Pointwise SiLU attention: each pair on its own, and some weigh less than nothing."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import scalar_above
from attnjax.ops.normalizers.base import Normalizer, finite


def silu(length: float | Float[Array, ""] = 1.0) -> Normalizer:
    """Returns the normaliser s_ij·σ(s_ij) / length, which looks at each pair on its own.

    What a row reads grows with the number of keys that fit, which softmax hides: in a history the strength of
    a preference.

    Args:
      length: by which weights are divided, about the tokens of a sequence; above 0. One program serves all
        values.

    Returns:
      The normaliser.

    Raises:
      TypeError: length is no number.
      ValueError: length is not above 0, or has axes.

    References:
      Zhai et al., Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
      Recommendations, 2024 (arXiv:2402.17152).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.array([0.0, 2.0])[:, None, None]
      >>> weights = aj.attention_weights(x, x, normalizer=aj.silu(2.0))[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[0.   0.  ]
       [0.   1.96]]
    """
    return Silu(scalar_above("length", length, 0))


class Silu(Normalizer):
    """The normaliser that `silu` returns."""

    route = "pairwise"
    length: Any

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        """Returns the weights of whole rows of scores."""
        return self.pair_weights(scores, scores, attended), None

    def pair_weights(self, scores: Array, level: Array, attended: Array | None) -> Array:
        """Returns the weights of a block of pairs, given the level of each row."""
        return jnp.where(jnp.isneginf(scores), 0, jax.nn.silu(finite(scores)) / self.length)
