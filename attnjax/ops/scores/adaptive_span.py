"""The soft mask of adaptive attention spans."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.checks import floats, positions_of, scalar_above
from attnjax.ops.core.node import position, replace
from attnjax.ops.core.pairs import Block, Grid, Sizes, batch_grid
from attnjax.ops.scores.base import Score


def adaptive_span(span: Float[Array, " N"], ramp: float = 32.0, offset: int | Int[Array, "*B"] = 0) -> Score:
    """Returns the score s + log m, m = clip((ramp + span_h - |i + offset - j|) / ramp, 0, 1).

    So weights are m·exp(s) over the row's sum of these. Up to the span m is 1, `ramp` tokens farther it is 0
    and the pair masked. What a span costs is for the loss: the mean of spans, times a small number.

    Args:
      span: [N], in tokens; differentiable.
      ramp: tokens over which m falls from 1 to 0, above 0.
      offset: number of cached keys, one for all rows or one for each.

    Returns:
      The score.

    Raises:
      TypeError: spans are not floating point.
      ValueError: ramp is not above 0; spans are not one per head (when attention is called).

    References:
      Sukhbaatar et al., Adaptive Attention Span in Transformers, 2019 (arXiv:1905.07799).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.zeros((4, 1, 4))
      >>> score = aj.adaptive_span(jnp.array([1.0]), ramp=2.0)
      >>> print(jnp.array_str(aj.attention_weights(x, x, score=score)[0, 0], precision=2))
      [0.4 0.4 0.2 0. ]
    """
    return AdaptiveSpan(floats("span", span), scalar_above("ramp", ramp, 0), positions_of("offset", offset))


class AdaptiveSpan(Score):
    """The score that `adaptive_span` returns."""

    span: Any
    ramp: Any
    offset: Any = position()

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        """Returns the score with its arrays laid out for calls of these sizes."""
        if self.span.shape != (sizes.heads,):
            raise ValueError(f"span has shape {list(self.span.shape)}: expected [{sizes.heads}] (N)")
        span = Grid(self.span.astype(dtype)[None, :, None, None])
        offset = batch_grid("offset", self.offset, sizes)
        return replace(self, span=span, ramp=jnp.asarray(self.ramp, dtype), offset=offset)

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        """Returns the changed scores of a block."""
        distance = jnp.abs(at.q + self.offset.array - at.k).astype(scores.dtype)
        share = jnp.minimum((self.ramp + self.span.array - distance) / self.ramp, 1)
        inside = share > 0
        return jnp.where(inside, scores + jnp.log(jnp.where(inside, share, 1)), -jnp.inf)
