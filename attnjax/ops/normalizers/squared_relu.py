"""Squared ReLU attention: each pair on its own, many weights are 0."""

from typing import Any

import jax
from jaxtyping import Array, Float

from attnjax.ops.core.checks import scalar_above
from attnjax.ops.normalizers.base import Normalizer


def squared_relu(length: float | Float[Array, ""] = 1.0) -> Normalizer:
    """Returns the normaliser relu(s_ij)² / length, which looks at each pair on its own.

    Args:
      length: by which weights are divided, about the tokens of a sequence; above 0. One program serves all
        values.

    Returns:
      The normaliser.

    Raises:
      TypeError: length is no number.
      ValueError: length is not above 0, or has axes.

    References:
      Hua et al., Transformer Quality in Linear Time, 2022 (arXiv:2202.10447), with relu² of attention.
      Wortsman et al., Replacing softmax with ReLU in Vision Transformers, 2023 (arXiv:2309.08586), with the
      division by the length.

    Example:
      >>> import attnjax as aj
      >>> import jax.numpy as jnp
      >>> x = jnp.array([-1.0, 2.0])[:, None, None]
      >>> print(aj.attention_weights(x, x, normalizer=aj.squared_relu(2.0))[0])
      [[0.5 0. ]
       [0.  8. ]]
    """
    return SquaredRelu(scalar_above("length", length, 0))


class SquaredRelu(Normalizer):
    """The normaliser that `squared_relu` returns."""

    route = "pairwise"
    length: Any

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        """Returns the weights of whole rows of scores."""
        return self.pair_weights(scores, scores, attended), None

    def pair_weights(self, scores: Array, level: Array, attended: Array | None) -> Array:
        """Returns the weights of a block of pairs, given the level of each row."""
        return jax.nn.relu(scores) ** 2 / self.length
