"""Tokens that attend everything and are attended by everything."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from attnjax.ops.core.checks import positions, whole
from attnjax.ops.core.node import position
from attnjax.ops.core.pairs import Block
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.positional import Position, Positional, called, checked_position, clipped, value_of
from attnjax.ops.masks.tiles import Bounds, Tiles


def global_tokens(indices: Sequence[int] | Int[Array, " G"], offset: Position = 0) -> Mask:
    """Returns the mask by which tokens at these positions attend everything and are attended by everything.

    Args:
      indices: positions, as ints or an integer array [G]. A range costs the same however long it is.
      offset: number of cached keys, an int, or an integer array [] or [*B].

    Returns:
      The mask.

    Raises:
      TypeError: an index or the offset is no integer.
      ValueError: an array of indices is no integers of one axis.

    References:
      Beltagy et al., Longformer: The Long-Document Transformer, 2020 (arXiv:2004.05150).

    Example:
      >>> print(global_tokens([1]).draw(3))
      · ■ ·
      ■ ■ ■
      · ■ ·
    """
    if isinstance(indices, range) and indices.step == 1 and indices:
        indices = range(clipped(indices.start), clipped(indices.stop))
    elif not isinstance(indices, (jax.Array, np.ndarray)):
        indices = tuple(whole(f"indices[{n}]", i) for n, i in enumerate(indices))
    elif indices.ndim != 1 or not jnp.issubdtype(indices.dtype, jnp.integer):
        raise ValueError(f"indices is {indices.dtype}{list(indices.shape)}: expected integers of one axis")
    else:
        indices = positions("indices", indices)
    return GlobalTokens(indices, checked_position("offset", offset))


class GlobalTokens(Positional):
    """The mask that `global_tokens` returns."""

    indices: Any = position()
    offset: Any = position()

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        q = at.q + value_of(self.offset)
        return self._among(q, q)[0] | self._among(at.k, at.k)[0]

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        rows, all_rows = self._among(*(q + value_of(self.offset) for q in tiles.q_range))
        columns, all_columns = self._among(*tiles.k_range)
        return Bounds(rows | columns, all_rows | all_columns)

    def _among(self, first: Any, last: Any) -> tuple[Array, Array]:
        """Returns whether some, and whether surely all, of first … last are indices."""
        if isinstance(self.indices, range):
            start, stop = self.indices.start, self.indices.stop
            return (first < stop) & (start <= last), (start <= first) & (last < stop)
        indices = self.indices
        if isinstance(indices, tuple):
            indices = np.asarray([clipped(i) for i in indices], np.int32)
        indices = indices.reshape((1,) * first.ndim + (-1,))
        some = ((first[..., None] <= indices) & (indices <= last[..., None])).any(axis=-1)
        # Indices may repeat, so only one token is surely all.
        return some, some & (first == last)

    def __repr__(self) -> str:
        return called("global_tokens", self.indices, offset=self.offset)
