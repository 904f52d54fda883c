"""Attention spans that are learned, as a recipe makes them."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.axes import named
from attnjax.ops import scores
from attnjax.ops.core.dtypes import accumulation_dtype


class LearnedSpan(nnx.Module):
    """The score of `ops.scores.adaptive_span` with a learned span z = longest·σ(p) of each head.

    The sigmoid keeps spans in their range, where the paper's code cuts them off after each step.

    Args:
      longest: tokens.
      start: of every span, in tokens, below `longest`.
      ramp: tokens over which the weight falls to 0 beyond the span.
      cost: what a token of the mean span costs in the loss.
      heads: N.
      param_dtype: of p.
      rngs: not used.

    Raises:
      ValueError: start is not inside (0, longest).

    References:
      Sukhbaatar et al., Adaptive Attention Span in Transformers, 2019, arXiv:1905.07799.

    Example:
      >>> span = LearnedSpan(longest=512, start=16, ramp=32.0, cost=0.5, heads=2, rngs=nnx.Rngs(0))
      >>> print(jnp.array_str(span.spans(), precision=1), f"{span.penalty():.2f}")
      [16. 16.] 8.00
    """

    def __init__(
        self,
        longest: int,
        start: float,
        ramp: float,
        cost: float,
        *,
        heads: int,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if not 0 < start < longest:
            raise ValueError(f"start {start}: expected tokens above 0 and below longest ({longest})")
        self.longest, self.ramp, self.cost = longest, ramp, cost
        p = math.log(start / (longest - start))
        self.logits = nnx.Param(jnp.full((heads,), p, param_dtype), **named("heads"))

    def spans(self) -> Float[Array, " N"]:
        """Returns the span of each head in tokens, in float32 or better."""
        logits = self.logits[...]
        return self.longest * jax.nn.sigmoid(logits.astype(accumulation_dtype(logits)))

    def penalty(self) -> Float[Array, ""]:
        """Returns what the spans cost, which the loss of a task adds."""
        return self.cost * self.spans().mean()

    def __call__(self, *, offset: int | Int[Array, "*B"] = 0) -> scores.Score:
        """Returns the score modification."""
        return scores.adaptive_span(self.spans(), self.ramp, offset)
