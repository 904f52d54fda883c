"""Positions that act on the scores of self-attention, shared by the layers of a stack."""

from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Int

from attnjax.nn.axes import named
from attnjax.ops import scores
from attnjax.ops.positions import alibi_slopes
from attnjax.ops.scores import Score

_BUCKETS = 32
_MAX_DISTANCE = 128


class PositionScore(nnx.Module):
    """ALiBi's linear penalty on the distance, or T5's learned bias by distance.

    The T5 table has 32 buckets up to 128 tokens, is a parameter, and starts as N(0, 0.02²).

    Args:
      kind: "alibi" or "t5".
      heads: N.
      bidirectional: whether keys after the query are attended to; they then have their own T5 buckets.
      param_dtype: of the table.
      rngs: draws the table.

    Raises:
      ValueError: The kind is another.

    References:
      Press et al., Train Short, Test Long, 2021, arXiv:2108.12409 (ALiBi).
      Raffel et al., Exploring the Limits of Transfer Learning, 2020, arXiv:1910.10683 (T5).

    Example:
      >>> score = PositionScore("alibi", 4, bidirectional=False, rngs=nnx.Rngs(0))()
    """

    def __init__(
        self,
        kind: Literal["alibi", "t5"],
        heads: int,
        *,
        bidirectional: bool,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if kind not in ("alibi", "t5"):
            raise ValueError(f"kind {kind!r}: expected 'alibi' or 't5'")
        self.heads = heads
        self.bidirectional = bidirectional
        self.table: nnx.Param[Array] | None = nnx.data(None)
        if kind == "t5":
            start = nnx.initializers.normal(0.02)(rngs.params(), (_BUCKETS, heads), param_dtype)
            self.table = nnx.Param(start, **named("bucket", "heads"))

    def __call__(self, offset: int | Int[Array, "*B"] = 0) -> Score:
        """Returns the score for `attnjax.attention`; offset is the place of each row's first query."""
        if self.table is None:
            return scores.alibi(alibi_slopes(self.heads), offset=offset)
        return scores.relative_bias(
            self.table[...], max_distance=_MAX_DISTANCE, bidirectional=self.bidirectional, offset=offset
        )
