"""Masks by position: query i stands at i + offset, key j at j.

`offset` (and a prefix's n) is an int, a traced scalar, or an int array [*B] with a value per batch element.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from attnjax.ops.core.checks import count, positions_of, whole
from attnjax.ops.core.node import position, replace, shown, static
from attnjax.ops.core.pairs import Block, Grid, Sizes, batch_grid, is_grid
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.tiles import Bounds, Tiles

Position = int | Int[Array, "*B"]
_FARTHEST = np.iinfo(np.int32).max


def causal(offset: Position = 0) -> Mask:
    """Query i attends key j iff j ≤ i + offset.

    offset = 0 is aligned at the top left; decoding passes the number of cached keys.

    >>> print(causal(1).draw(2, 4))
    ■ ■ · ·
    ■ ■ ■ ·
    """
    return Window(None, 0, _position("offset", offset))


def sliding_window(left: int, right: int, offset: Position = 0) -> Mask:
    """Query i attends key j iff p - left ≤ j ≤ p + right, where p = i + offset; both ends inclusive.

    Longformer (Beltagy et al., 2020). Raises ValueError for a negative width.

    >>> print(sliding_window(1, 0).draw(4))
    ■ · · ·
    ■ ■ · ·
    · ■ ■ ·
    · · ■ ■
    """
    return Window(_width("left", left), _width("right", right), _position("offset", offset))


def prefix(n: Position) -> Mask:
    """Every query attends the first n keys; `causal() | prefix(n)` is the prefix language model (T5, 2019).

    >>> print((causal() | prefix(2)).draw(3))
    ■ ■ ·
    ■ ■ ·
    ■ ■ ■
    """
    return Prefix(_position("n", n))


def block_diagonal(size: int, offset: Position = 0) -> Mask:
    """Query i attends key j iff ⌊(i + offset)/size⌋ = ⌊j/size⌋.

    >>> print(block_diagonal(2).draw(4))
    ■ ■ · ·
    ■ ■ · ·
    · · ■ ■
    · · ■ ■
    """
    return BlockDiagonal(_clipped(count("size", size)), _position("offset", offset))


def chunked_causal(size: int, offset: Position = 0) -> Mask:
    """Causal inside chunks of `size`, nothing across them: `causal() & block_diagonal(size)` (Llama 4, 2025).

    >>> print(chunked_causal(2).draw(4))
    ■ · · ·
    ■ ■ · ·
    · · ■ ·
    · · ■ ■
    """
    return causal(offset) & block_diagonal(size, offset)


def dilated(step: int, offset: Position = 0) -> Mask:
    """Query i attends key j iff (i + offset - j) is a multiple of `step` (Sparse Transformer, 2019).

    >>> print((causal() & dilated(2)).draw(4))
    ■ · · ·
    · ■ · ·
    ■ · ■ ·
    · ■ · ■
    """
    return Dilated(_clipped(count("step", step)), _position("offset", offset))


def global_tokens(indices: Sequence[int] | Int[Array, " G"], offset: Position = 0) -> Mask:
    """Tokens at these positions attend everything and are attended by everything (Longformer, 2020).

    >>> print(global_tokens([1]).draw(3))
    · ■ ·
    ■ ■ ■
    · ■ ·
    """
    if not isinstance(indices, (jax.Array, np.ndarray)):
        indices = tuple(whole(f"indices[{n}]", i) for n, i in enumerate(indices))
    elif indices.ndim != 1 or not jnp.issubdtype(indices.dtype, jnp.integer):
        raise ValueError(f"indices is {indices.dtype}{list(indices.shape)}: expected integers of one axis")
    return GlobalTokens(indices, _position("offset", offset))


class Positional(Mask):
    """A mask with positions that may differ between batch elements: laid over the grid by `bind`."""

    def bind(self, sizes: Sizes) -> Mask:
        fields = {
            name: batch_grid(name, getattr(self, name), sizes)
            for name in self._children
            if name in ("offset", "n")
        }
        return replace(self, **fields)


class Window(Positional):
    left: int | None = static()
    right: int = static()
    offset: Any = position()

    def evaluate(self, at: Block) -> Array:
        distance, last = at.k - at.q, _moved(self.offset, self.right)
        inside = distance <= last
        return inside if self.left is None else inside & (distance >= _moved(self.offset, -self.left))

    def bounds(self, tiles: Tiles) -> Bounds:
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
            return _called("causal", offset=self.offset)
        return _called("sliding_window", self.left, self.right, offset=self.offset)


class Prefix(Positional):
    n: Any = position()

    def evaluate(self, at: Block) -> Array:
        return at.k < _value(self.n)

    def bounds(self, tiles: Tiles) -> Bounds:
        first, last = tiles.k_range
        return Bounds(first < _value(self.n), last < _value(self.n))

    def __repr__(self) -> str:
        return f"prefix({shown(self.n)})"


class BlockDiagonal(Positional):
    size: int = static()
    offset: Any = position()

    def evaluate(self, at: Block) -> Array:
        return (at.q + _value(self.offset)) // self.size == at.k // self.size

    def bounds(self, tiles: Tiles) -> Bounds:
        q_first, q_last = ((q + _value(self.offset)) // self.size for q in tiles.q_range)
        k_first, k_last = (k // self.size for k in tiles.k_range)
        some = (q_first <= k_last) & (k_first <= q_last)
        return Bounds(some, (q_first == k_last) & (k_first == q_last))

    def __repr__(self) -> str:
        return _called("block_diagonal", self.size, offset=self.offset)


class Dilated(Positional):
    step: int = static()
    offset: Any = position()

    def evaluate(self, at: Block) -> Array:
        return (at.q + self._phase() - at.k) % self.step == 0

    def bounds(self, tiles: Tiles) -> Bounds:
        (q_first, q_last), (k_first, k_last) = tiles.q_range, tiles.k_range
        lowest, highest = q_first + self._phase() - k_last, q_last + self._phase() - k_first
        some = highest // self.step * self.step >= lowest
        return Bounds(some, np.array(self.step == 1))

    def _phase(self) -> Any:
        return (self.offset.array if is_grid(self.offset) else self.offset) % self.step

    def __repr__(self) -> str:
        return _called("dilated", self.step, offset=self.offset)


class GlobalTokens(Positional):
    indices: Any = position()
    offset: Any = position()

    def evaluate(self, at: Block) -> Array:
        return self._holds(at.q + _value(self.offset)) | self._holds(at.k)

    def bounds(self, tiles: Tiles) -> Bounds:
        q_first, q_last = (q + _value(self.offset) for q in tiles.q_range)
        k_first, k_last = tiles.k_range
        rows, columns = self._count(q_first, q_last), self._count(k_first, k_last)
        # Indices may repeat, so only a tile one token wide is certain to be full.
        every = ((rows > 0) & (q_first == q_last)) | ((columns > 0) & (k_first == k_last))
        return Bounds((rows > 0) | (columns > 0), every)

    def _holds(self, position: Any) -> Array:
        return self._count(position, position) > 0

    def _count(self, first: Any, last: Any) -> Array:
        """How many indices lie in [first, last]."""
        indices = np.asarray(self.indices, np.int32) if isinstance(self.indices, tuple) else self.indices
        indices = indices.reshape((1,) * first.ndim + (-1,))
        return ((first[..., None] <= indices) & (indices <= last[..., None])).sum(axis=-1)

    def __repr__(self) -> str:
        return _called("global_tokens", self.indices, offset=self.offset)


def _value(position: Any) -> Any:
    """The position as arithmetic takes it: a Python int beyond int32 is beyond every token too."""
    return position.array if is_grid(position) else _clipped(position)


def _clipped(n: int) -> int:
    return max(-_FARTHEST, min(n, _FARTHEST))


def _moved(position: Any, by: int) -> Any:
    """position + by, which stays at an end of int32 instead of running over it."""
    if not is_grid(position):
        return _clipped(position + by)
    start, xp = position.array, np if isinstance(position.array, np.ndarray) else jnp
    moved = start + np.int32(_clipped(by))
    over = moved < start if by >= 0 else moved > start
    return xp.where(over, np.int32(_FARTHEST if by >= 0 else -_FARTHEST), moved)


def _position(name: str, value: Any) -> Any:
    return value if isinstance(value, Grid) else positions_of(name, value)


def _width(name: str, value: Any) -> int:
    if whole(name, value) < 0:
        raise ValueError(f"{name} is {value}: a window reaches 0 or more tokens to each side")
    return int(value)


def _called(name: str, *arguments: Any, offset: Any) -> str:
    """`name(arguments, offset)`, as it is written: without an offset of 0."""
    given = [*arguments, *([] if isinstance(offset, int) and offset == 0 else [offset])]
    return f"{name}({', '.join(map(shown, given))})"
