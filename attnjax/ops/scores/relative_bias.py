"""The relative bias of T5."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.checks import floats, positions_of
from attnjax.ops.core.node import position, replace, static
from attnjax.ops.core.pairs import Block, Sizes, batch_grid
from attnjax.ops.positions.buckets import relative_buckets
from attnjax.ops.scores.base import Score


def relative_bias(
    table: Float[Array, "buckets N"],
    *,
    max_distance: int = 128,
    bidirectional: bool = True,
    offset: int | Int[Array, "*B"] = 0,
) -> Score:
    """Returns the score s + table[bucket(j - i - offset), h]: one table shared by all positions.

    Args:
      table: [buckets, N] as T5 stores it; differentiable.
      max_distance: in tokens, from which on all distances share the last bucket.
      bidirectional: whether keys after the query have buckets of their own.
      offset: number of cached keys, one for all rows or one for each.

    Returns:
      The score.

    Raises:
      TypeError: the table is not floating point.
      ValueError: the table has another rank or (when attention is called) another number of heads.

    References:
      Raffel et al., Exploring the Limits of Transfer Learning with T5, 2020 (arXiv:1910.10683).

    Example:
      >>> import attnjax as aj
      >>> x, table = jnp.zeros((3, 1, 4)), jnp.log(jnp.array([[1.0], [2.0], [4.0], [8.0]]))
      >>> weights = aj.attention_weights(x, x, score=aj.relative_bias(table, bidirectional=False))[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[0.33 0.33 0.33]
       [0.5  0.25 0.25]
       [0.57 0.29 0.14]]
    """
    table = floats("table", table)
    if table.ndim != 2:
        raise ValueError(f"table has shape {list(table.shape)}: expected [buckets, N]")
    return RelativeBias(table, max_distance, bidirectional, positions_of("offset", offset))


class RelativeBias(Score):
    """The score that `relative_bias` returns."""

    table: Any
    max_distance: int = static()
    bidirectional: bool = static()
    offset: Any = position()

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        """Returns the score with its arrays laid out for calls of these sizes."""
        if self.table.shape[1] != sizes.heads:
            raise ValueError(
                f"table has shape {list(self.table.shape)}: expected [buckets, {sizes.heads}] (buckets, N)"
            )
        offset = batch_grid("offset", self.offset, sizes)
        return replace(self, table=self.table.astype(dtype), offset=offset)

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        """Returns the changed scores of a block."""
        buckets = relative_buckets(
            (at.q + self.offset.array)[:, 0],
            at.k[:, 0],
            num_buckets=self.table.shape[0],
            max_distance=self.max_distance,
            bidirectional=self.bidirectional,
        )
        return scores + jnp.moveaxis(self.table[:, at.h.ravel()][buckets], -1, 1)
