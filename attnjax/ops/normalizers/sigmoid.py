"""Sigmoid attention: each pair on its own."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import floats
from attnjax.ops.core.pairs import Grid, Sizes
from attnjax.ops.normalizers.base import Normalizer, finite


def sigmoid(bias: float | Float[Array, ""] | Float[Array, " N"] = 0.0) -> Normalizer:
    """Returns the normaliser σ(s_ij + bias), which looks at each pair on its own.

    Args:
      bias: a number or one per head [N], -log S at the start of training; differentiable. One program serves
        all values.

    Returns:
      The normaliser.

    Raises:
      TypeError: the bias is not floating point.
      ValueError: the bias has another shape (when attention is called).

    References:
      Ramapuram et al., Theory, Analysis, and Best Practices for Sigmoid Self-Attention, 2024
      (arXiv:2409.04431).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.zeros((2, 1, 4))
      >>> weights = aj.attention_weights(x, x, normalizer=aj.sigmoid(-jnp.log(2.0)))[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[0.33 0.33]
       [0.33 0.33]]
    """
    return Sigmoid(bias if isinstance(bias, (int, float)) else floats("bias of sigmoid", bias))


class Sigmoid(Normalizer):
    """The normaliser that `sigmoid` returns."""

    route = "pairwise"
    bias: Any

    def bind(self, sizes: Sizes, dtype: Any) -> Normalizer:
        """Returns the normaliser with its arrays laid out for calls of these sizes."""
        bias = jnp.asarray(self.bias, dtype)
        if bias.shape not in ((), (sizes.heads,)):
            raise ValueError(
                f"bias of sigmoid has shape {list(bias.shape)}: expected [] or [{sizes.heads}] (N)"
            )
        return Sigmoid(Grid(bias.reshape(1, -1, 1, 1)))

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        """Returns the weights of whole rows of scores."""
        return self.pair_weights(scores, scores, attended), None

    def pair_weights(self, scores: Array, level: Array, attended: Array | None) -> Array:
        """Returns the weights of a block of pairs, given the level of each row."""
        weights = jax.nn.sigmoid(finite(scores) + self.bias.array)
        return jnp.where(jnp.isneginf(scores), 0, weights)
