"""Attention to a context that remembers how much of it was read."""

from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.classic.reading import ReadingLayer, of_keys, vector
from attnjax.ops.classic import coverage_attention


class CoverageAttention(ReadingLayer):
    """Additive attention to a context, which sees the sum of the weights of the queries before.

    `attnjax.ops.classic.coverage_loss` of the captured weights keeps it from reading the same again.

    Args:
      dim, heads: D and N.
      context_dim, head_dim, bias, dtype, param_dtype, rngs: as in `ReadingLayer`.

    Raises:
      ValueError: sizes are below 1 or do not divide.

    References:
      See et al., Get To The Point: Summarization with Pointer-Generator Networks, 2017, arXiv:1704.04368.

    Example:
      >>> import jax.numpy as jnp
      >>> layer = CoverageAttention(8, 2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 3, 8)), jnp.ones((1, 5, 8)), capture=Capture()).weights.shape
      (1, 2, 3, 5)
    """

    def _make_own(self, dtype: DTypeLike | None, param_dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.v = vector(rngs, self.heads, self.head_dim, param_dtype)
        self.weight = vector(rngs, self.heads, self.head_dim, param_dtype)

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S C"],
        *,
        mask: Bool[Array, "*B S"] | None = None,
        coverage: Float[Array, "*B N S"] | None = None,
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """Reads the context with one token after another.

        Args:
          x: the tokens that ask, in their order.
          context: the tokens that are read.
          mask: those of them that are there; None: all.
          coverage: the sum of weights of tokens before x; None: 0.
          capture: the heads and rows of the weights to return.

        Raises:
          ValueError: x, context or coverage has another shape; a capture is out of range.
        """
        heads = self._projected(x, context)
        found = coverage_attention(
            *heads, self.v[...], self.weight[...], mask=of_keys(mask), coverage=coverage
        )
        return self._read(found.out, found.weights, capture)
