"""Gated cross-attention: a block between those of a trained model that begins as if it were not there."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.axes import named
from attnjax.nn.dropout import Dropout
from attnjax.nn.feed_forward import FeedForward
from attnjax.nn.norm import make_norm


class GatedCrossAttention(nnx.Module):
    """A block y = x + tanh(a)·attention(norm(x), context), then y + tanh(b)·feed_forward(norm(y)).

    a and b start at 0, so that the block begins as the identity.

    Args:
      dim: D.
      heads: N.
      context_dim: C, of the context; None: D.
      expansion: the width of the feed-forward layer, in D.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    References:
      Alayrac et al., Flamingo: a Visual Language Model for Few-Shot Learning, 2022, arXiv:2204.14198.

    Example:
      >>> layer = GatedCrossAttention(8, 2, context_dim=6, rngs=nnx.Rngs(0))
      >>> x = jnp.ones((1, 5, 8))
      >>> bool((layer(x, jnp.ones((1, 3, 6))).out == x).all())
      True
    """

    has_weights = True

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        context_dim: int | None = None,
        expansion: int = 4,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.attention = SoftmaxAttention(dim, heads, context_dim=context_dim, bias=False, **common)
        self.feed_forward = FeedForward(dim, expansion * dim, bias=False, **common)
        self.attention_norm, self.feed_forward_norm = (make_norm("layer", dim, **common) for _ in range(2))
        self.attention_gate, self.feed_forward_gate = (
            nnx.Param(jnp.zeros((), param_dtype), **named()) for _ in range(2)
        )

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S C"] | KeysValues,
        *,
        mask: MaskLike | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """Applies the block. A token that sees nothing of the context takes nothing from it.

        Args:
          x: the tokens.
          context: what they read, or its keys and values from `attention.project`.
          mask: of what they see of it.
          dropout: on the weights.
          capture: the weights to return.

        Raises:
          ValueError: As in `SoftmaxAttention`.
        """
        out, _, weights = self.attention(
            self.attention_norm(x), context, mask=mask, dropout=dropout, capture=capture
        )
        x = x + jnp.tanh(self.attention_gate[...]).astype(out.dtype) * out
        change = self.feed_forward(self.feed_forward_norm(x))
        x = x + jnp.tanh(self.feed_forward_gate[...]).astype(change.dtype) * change
        return AttentionOutput(x, None, weights)
