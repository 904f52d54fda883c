"""Co-attention: two streams that read each other."""

from typing import Any, NamedTuple

from flax import nnx
from jaxtyping import Array, Float

from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.dropout import Dropout, folded


class CoAttentionOutput(NamedTuple):
    """The outputs of both streams: of x, which read the context, and of the context, which read x."""

    x: AttentionOutput
    context: AttentionOutput


class CoAttention(nnx.Module):
    """Two streams that read each other, each with projections of its own, as in ViLBERT.

    Args:
      dim: D, of x.
      heads: N, of both.
      context_dim: C, of the context; None: D.
      settings: those of `SoftmaxAttention`. Heads are D/N wide in both streams, unless head_dim is given.

    References:
      Lu et al., ViLBERT: Pretraining Task-Agnostic Visiolinguistic Representations for Vision-and-Language
      Tasks, 2019, arXiv:1908.02265.

    Example:
      >>> import jax.numpy as jnp
      >>> layer = CoAttention(8, 2, context_dim=6, rngs=nnx.Rngs(0))
      >>> both = layer(jnp.ones((1, 5, 8)), jnp.ones((1, 3, 6)))
      >>> both.x.out.shape, both.context.out.shape
      ((1, 5, 8), (1, 3, 6))
    """

    has_weights = True

    def __init__(
        self, dim: int, heads: int, *, context_dim: int | None = None, rngs: nnx.Rngs, **settings: Any
    ) -> None:
        context_dim = dim if context_dim is None else context_dim
        # Its width does not follow from the other stream's, whose heads are read.
        of_context = {"head_dim": settings.get("head_dim") or max(dim // heads, 1)}
        self.of_x = SoftmaxAttention(dim, heads, context_dim=context_dim, rngs=rngs, **settings)
        self.of_context = SoftmaxAttention(
            context_dim, heads, context_dim=dim, rngs=rngs, **settings | of_context
        )

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S C"],
        *,
        mask: MaskLike | None = None,
        context_mask: MaskLike | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> CoAttentionOutput:
        """Attends from each stream to the other.

        Args:
          x: one stream.
          context: the other.
          mask: of what x sees of the context, T×S.
          context_mask: of what the context sees of x, S×T.
          dropout: on the weights of both.
          capture: the weights to return, of both.

        Raises:
          ValueError: As in `SoftmaxAttention`.
        """
        of_x = self.of_x(x, context, mask=mask, dropout=folded(dropout, "x"), capture=capture)
        dropout = folded(dropout, "context")
        return CoAttentionOutput(
            of_x, self.of_context(context, x, mask=context_mask, dropout=dropout, capture=capture)
        )
