"""Masks by position: query i stands at i + offset, key j at j.

`offset` (and a prefix's n) is an int, a traced scalar, or an int array [*B] with a value per batch element.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from attnjax.ops.core.checks import positions_of, whole
from attnjax.ops.core.node import position, replace, shown, static
from attnjax.ops.core.pairs import Block, Grid, Sizes, batch_grid, is_grid
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.tiles import Bounds, Tiles

Position = int | Int[Array, "*B"]
_FARTHEST = np.iinfo(np.int32).max


def causal(offset: Position = 0) -> Mask:
    """Returns the mask by which query i attends key j iff j ≤ i + offset.

    An offset of 0 is aligned at the top left; decoding passes the number of cached keys.

    Args:
      offset: number of cached keys, an int, or an integer array [] or [*B].

    Returns:
      The mask.

    Raises:
      TypeError: the offset is no integer.

    Example:
      >>> print(causal(1).draw(2, 4))
      ■ ■ · ·
      ■ ■ ■ ·
    """
    return Window(None, 0, checked_position("offset", offset))


def sliding_window(left: int, right: int, offset: Position = 0) -> Mask:
    """Returns the mask by which query i attends key j iff p - left ≤ j ≤ p + right, where p = i + offset.

    Args:
      left: keys before the query's position, which is attended too.
      right: keys after it.
      offset: number of cached keys, an int, or an integer array [] or [*B].

    Returns:
      The mask.

    Raises:
      TypeError: a width or the offset is no integer.
      ValueError: a width is negative.

    References:
      Beltagy et al., Longformer: The Long-Document Transformer, 2020 (arXiv:2004.05150).

    Example:
      >>> print(sliding_window(1, 0).draw(4))
      ■ · · ·
      ■ ■ · ·
      · ■ ■ ·
      · · ■ ■
    """
    return Window(_width("left", left), _width("right", right), checked_position("offset", offset))


def prefix(n: Position) -> Mask:
    """Returns the mask by which every query attends the first n keys.

    `causal() | prefix(n)` is the prefix language model.

    Args:
      n: number of keys, an int, or an integer array [] or [*B].

    Returns:
      The mask.

    Raises:
      TypeError: n is no integer.

    References:
      Raffel et al., Exploring the Limits of Transfer Learning with T5, 2020 (arXiv:1910.10683).

    Example:
      >>> print((causal() | prefix(2)).draw(3))
      ■ ■ ·
      ■ ■ ·
      ■ ■ ■
    """
    return Prefix(checked_position("n", n))


class Positional(Mask):
    """A mask with positions that may differ between batch elements: laid over the grid by `bind`."""

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        fields = {
            name: batch_grid(name, getattr(self, name), sizes)
            for name in self._children
            if name in ("offset", "n")
        }
        return replace(self, **fields)


class Window(Positional):
    """The mask of `causal` and `sliding_window`: a band of keys around each query."""

    left: int | None = static()
    right: int = static()
    offset: Any = position()

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        distance, last = at.k - at.q, _moved(self.offset, self.right)
        inside = distance <= last
        return inside if self.left is None else inside & (distance >= _moved(self.offset, -self.left))

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        (q_first, q_last), (k_first, k_last) = tiles.q_range, tiles.k_range
        lowest, highest = k_first - q_last, k_last - q_first
        last = _moved(self.offset, self.right)
        some, every = lowest <= last, highest <= last
        if self.left is not None:
            first = _moved(self.offset, -self.left)
            some, every = some & (highest >= first), every & (lowest >= first)
        return Bounds(some, every)

    def __repr__(self) -> str:
        if self.left is None:
            return called("causal", offset=self.offset)
        return called("sliding_window", self.left, self.right, offset=self.offset)


class Prefix(Positional):
    """The mask that `prefix` returns."""

    n: Any = position()

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        return at.k < value_of(self.n)

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        first, last = tiles.k_range
        return Bounds(first < value_of(self.n), last < value_of(self.n))

    def __repr__(self) -> str:
        return f"prefix({shown(self.n)})"


def value_of(position: Any) -> Any:
    """Returns the position as arithmetic takes it: a Python int beyond int32 is beyond every token too."""
    return position.array if is_grid(position) else clipped(position)


def clipped(n: int) -> int:
    """Returns n, or the nearest that int32 holds."""
    return max(-_FARTHEST, min(n, _FARTHEST))


def _moved(position: Any, by: int) -> Any:
    """Returns position + by, which stays at an end of int32 instead of running over it."""
    if not is_grid(position):
        return clipped(position + by)
    start, xp = position.array, np if isinstance(position.array, np.ndarray) else jnp
    moved = start + np.int32(clipped(by))
    over = moved < start if by >= 0 else moved > start
    return xp.where(over, np.int32(_FARTHEST if by >= 0 else -_FARTHEST), moved)


def checked_position(name: str, value: Any) -> Any:
    """A Python int stays structure; an integer array stays data."""
    return value if isinstance(value, Grid) else positions_of(name, value)


def _width(name: str, value: Any) -> int:
    if whole(name, value) < 0:
        raise ValueError(f"{name} is {value}: a window reaches 0 or more tokens to each side")
    return int(value)


def called(name: str, *arguments: Any, offset: Any) -> str:
    """`name(arguments, offset)`, as it is written: without an offset of 0."""
    given = [*arguments, *([] if isinstance(offset, int) and offset == 0 else [offset])]
    return f"{name}({', '.join(map(shown, given))})"
