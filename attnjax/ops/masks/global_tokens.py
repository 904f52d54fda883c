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
from attnjax.ops.masks.positional import Position, Positional, called, checked_position, value_of
from attnjax.ops.masks.tiles import Bounds, Tiles


def global_tokens(indices: Sequence[int] | Int[Array, " G"], offset: Position = 0) -> Mask:
    """Returns the mask by which tokens at these positions attend everything and are attended by everything.

    Args:
      indices: positions, as ints or an integer array [G].
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
    if not isinstance(indices, (jax.Array, np.ndarray)):
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
        return self._holds(at.q + value_of(self.offset)) | self._holds(at.k)

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        q_first, q_last = (q + value_of(self.offset) for q in tiles.q_range)
        k_first, k_last = tiles.k_range
        rows, columns = self._count(q_first, q_last), self._count(k_first, k_last)
        # Indices may repeat, so only a tile one token wide is certain to be full.
        every = ((rows > 0) & (q_first == q_last)) | ((columns > 0) & (k_first == k_last))
        return Bounds((rows > 0) | (columns > 0), every)

    def _holds(self, position: Any) -> Array:
        return self._count(position, position) > 0

    def _count(self, first: Any, last: Any) -> Array:
        """Returns the number of indices in [first, last]."""
        indices = np.asarray(self.indices, np.int32) if isinstance(self.indices, tuple) else self.indices
        indices = indices.reshape((1,) * first.ndim + (-1,))
        return ((first[..., None] <= indices) & (indices <= last[..., None])).sum(axis=-1)

    def __repr__(self) -> str:
        return called("global_tokens", self.indices, offset=self.offset)
