"""Masks that repeat themselves along the sequence: blocks of one length, and every so many tokens."""

from typing import Any

import numpy as np
from jaxtyping import Array

from attnjax.ops.core.checks import count
from attnjax.ops.core.node import position, static
from attnjax.ops.core.pairs import Block, is_grid
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.positional import (
    Position,
    Positional,
    called,
    causal,
    checked_position,
    clipped,
    value_of,
)
from attnjax.ops.masks.tiles import Bounds, Tiles


def block_diagonal(size: int, offset: Position = 0) -> Mask:
    """Returns the mask by which query i attends key j iff ⌊(i + offset)/size⌋ = ⌊j/size⌋.

    Args:
      size: of a block, in tokens.
      offset: number of cached keys, an int, or an integer array [] or [*B].

    Returns:
      The mask.

    Raises:
      TypeError: size or offset are no integers.
      ValueError: size is below 1.

    Example:
      >>> print(block_diagonal(2).draw(4))
      ■ ■ · ·
      ■ ■ · ·
      · · ■ ■
      · · ■ ■
    """
    return BlockDiagonal(clipped(count("size", size)), checked_position("offset", offset))


def chunked_causal(size: int, offset: Position = 0) -> Mask:
    """Returns the causal mask inside chunks of `size` tokens, with nothing across them.

    It is `causal(offset) & block_diagonal(size, offset)`, the local attention of Llama 4.

    Args:
      size: of a chunk, in tokens.
      offset: number of cached keys, an int, or an integer array [] or [*B].

    Returns:
      The mask.

    Raises:
      TypeError: size or offset are no integers.
      ValueError: size is below 1.

    Example:
      >>> print(chunked_causal(2).draw(4))
      ■ · · ·
      ■ ■ · ·
      · · ■ ·
      · · ■ ■
    """
    return causal(offset) & block_diagonal(size, offset)


def dilated(step: int, offset: Position = 0) -> Mask:
    """Returns the mask by which query i attends key j iff i + offset - j is a multiple of `step`.

    Args:
      step: in tokens.
      offset: number of cached keys, an int, or an integer array [] or [*B].

    Returns:
      The mask.

    Raises:
      TypeError: step or offset are no integers.
      ValueError: step is below 1.

    References:
      Child et al., Generating Long Sequences with Sparse Transformers, 2019 (arXiv:1904.10509).

    Example:
      >>> print((causal() & dilated(2)).draw(4))
      ■ · · ·
      · ■ · ·
      ■ · ■ ·
      · ■ · ■
    """
    return Dilated(clipped(count("step", step)), checked_position("offset", offset))


class BlockDiagonal(Positional):
    """The mask that `block_diagonal` returns."""

    size: int = static()
    offset: Any = position()

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        return (at.q + value_of(self.offset)) // self.size == at.k // self.size

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        q_first, q_last = ((q + value_of(self.offset)) // self.size for q in tiles.q_range)
        k_first, k_last = (k // self.size for k in tiles.k_range)
        some = (q_first <= k_last) & (k_first <= q_last)
        return Bounds(some, (q_first == k_last) & (k_first == q_last))

    def __repr__(self) -> str:
        return called("block_diagonal", self.size, offset=self.offset)


class Dilated(Positional):
    """The mask that `dilated` returns."""

    step: int = static()
    offset: Any = position()

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        return (at.q + self._phase() - at.k) % self.step == 0

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        (q_first, q_last), (k_first, k_last) = tiles.q_range, tiles.k_range
        lowest, highest = q_first + self._phase() - k_last, q_last + self._phase() - k_first
        some = highest // self.step * self.step >= lowest
        return Bounds(some, np.array(self.step == 1))

    def _phase(self) -> Any:
        return (self.offset.array if is_grid(self.offset) else self.offset) % self.step

    def __repr__(self) -> str:
        return called("dilated", self.step, offset=self.offset)
