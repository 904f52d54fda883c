"""The Q-Former: learned queries that read each other and, in some layers, a set."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.axes import named
from attnjax.nn.blocks import DecoderBlock, EncoderBlock
from attnjax.nn.feed_forward import FeedForward
from attnjax.nn.norm import make_norm
from attnjax.ops.core.checks import count


class QFormer(nnx.Module):
    """Learned queries under blocks of self-attention, of which every k-th, from the first, reads a set too.

    Norms come after the residual sums, as in BERT: [*B, S, C] to [*B, Q, D].

    Args:
      dim: D, of the queries.
      heads: N.
      queries: Q.
      layers: blocks.
      every: k.
      context_dim: C, of the set; None: D.
      expansion: the width of the feed-forward layers, in D.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1.

    References:
      Li et al., BLIP-2: Bootstrapping Language-Image Pre-training with Frozen Image Encoders and Large
      Language Models, 2023, arXiv:2301.12597.

    Example:
      >>> layer = QFormer(8, 2, queries=3, context_dim=6, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 50, 6))).out.shape
      (2, 3, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        queries: int = 32,
        layers: int = 2,
        every: int = 2,
        context_dim: int | None = None,
        expansion: int = 4,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        count("every", every)
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}

        def norm() -> Any:
            return make_norm("layer", dim, **common)

        def block(number: int) -> EncoderBlock | DecoderBlock:
            own = SoftmaxAttention(dim, heads, **common)
            if number % every:
                return EncoderBlock(own, FeedForward(dim, expansion * dim, **common), norm, "post")
            cross = SoftmaxAttention(dim, heads, context_dim=context_dim, **common)
            return DecoderBlock(own, cross, FeedForward(dim, expansion * dim, **common), norm, "post")

        start = 0.02 * jax.random.normal(rngs.params(), (count("queries", queries), dim), param_dtype)
        self.queries = nnx.Param(start, **named("slots", "embed"))
        self.norm = norm()
        self.blocks = nnx.List([block(number) for number in range(count("layers", layers))])

    def __call__(self, x: Float[Array, "*B S C"], *, mask: MaskLike | None = None) -> AttentionOutput:
        """Returns the queries that have read the set.

        Args:
          x: the set.
          mask: of what each query sees of it, Q×S; lengths(key=…) for padding.

        Raises:
          ValueError: x is not C wide.
        """
        queries = self.norm(self.queries[...])
        queries = jnp.broadcast_to(queries, (*x.shape[:-2], *queries.shape))
        for block in self.blocks:
            if isinstance(block, DecoderBlock):
                queries = block(queries, x, context_mask=mask).out
            else:
                queries = block(queries).out
        return AttentionOutput(queries)
