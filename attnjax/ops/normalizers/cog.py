"""Cog attention: weights with a sign."""

import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.normalizers.base import Normalizer
from attnjax.ops.normalizers.softmax import Softmax


def cog() -> Normalizer:
    """Returns the normaliser sign(s_ij)·exp|s_ij| / Σ_j exp|s_ij|: the sizes of a row's weights sum to 1.

    A negative weight takes a value away. Weights jump where a score is 0, from -w to w.

    Returns:
      The normaliser.

    References:
      Lv et al., More Expressive Attention with Negative Weights, 2024 (arXiv:2411.07176).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.array([-2.0, 1.0])[:, None, None]
      >>> print(jnp.array_str(aj.attention_weights(x, x, normalizer=aj.cog())[0], precision=2))
      [[ 0.88 -0.12]
       [-0.73  0.27]]
    """
    return Cog()


class Cog(Normalizer):
    """The normaliser that `cog` returns."""

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        """Returns the weights of whole rows of scores."""
        present = ~jnp.isneginf(scores)
        signed = jnp.where(present, scores, 0)
        sizes, _ = Softmax(None).weights(jnp.where(present, jnp.abs(signed), -jnp.inf), attended)
        return jnp.where(present, jnp.sign(signed) * sizes, 0), None
