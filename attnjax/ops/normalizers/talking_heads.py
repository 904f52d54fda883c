"""Talking-heads attention: heads mix their scores before the softmax and their weights after it."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import floats
from attnjax.ops.core.node import replace
from attnjax.ops.core.pairs import Sizes
from attnjax.ops.normalizers.base import Normalizer
from attnjax.ops.normalizers.softmax import Softmax


def talking_heads(before: Float[Array, "N N"], after: Float[Array, "N N"]) -> Normalizer:
    """Returns the normaliser w_n = Σ_m softmax_j(Σ_l s_l·before[l, m])·after[m, n] over heads.

    Each head has its own mask where masks differ: what others see and it does not adds nothing to it.

    Args:
      before: [N, N], from heads of scores to heads of the softmax; differentiable.
      after: [N, N], from heads of the softmax to heads of values; differentiable.

    Returns:
      The normaliser.

    Raises:
      TypeError: a matrix is not floating point.
      ValueError: a matrix has another shape (when attention is called).

    References:
      Shazeer et al., Talking-Heads Attention, 2020 (arXiv:2003.02436).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.zeros((2, 2, 4))
      >>> mean = jnp.full((2, 2), 0.5)
      >>> aj.attention_weights(x, x, normalizer=aj.talking_heads(jnp.eye(2), mean)).shape
      (2, 2, 2)
    """
    return TalkingHeads(floats("before", before), floats("after", after))


class TalkingHeads(Normalizer):
    """The normaliser that `talking_heads` returns."""

    before: Any
    after: Any

    def bind(self, sizes: Sizes, dtype: Any) -> Normalizer:
        """Returns the normaliser with its arrays laid out for calls of these sizes."""
        expected = (sizes.heads, sizes.heads)
        for name, matrix in (("before", self.before), ("after", self.after)):
            if matrix.shape != expected:
                raise ValueError(f"{name} has shape {list(matrix.shape)}: expected {list(expected)} (N, N)")
        return replace(self, before=self.before.astype(dtype), after=self.after.astype(dtype))

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        """Returns the weights of whole rows of scores."""
        present = ~jnp.isneginf(scores)
        mixed = _mixed(jnp.where(present, scores, 0), self.before)
        weights, _ = Softmax(None).weights(jnp.where(present, mixed, -jnp.inf), attended)
        return jnp.where(present, _mixed(weights, self.after), 0), None


def _mixed(heads: Float[Array, "B N t S"], matrix: Float[Array, "N M"]) -> Float[Array, "B M t S"]:
    return jnp.einsum("bnts,nm->bmts", heads, matrix)
