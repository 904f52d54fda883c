"""Tiles of the pairs, and what interval reasoning can say about them.

In numpy for a mask whose arrays are numpy's, so that it is known while tracing; else in jax.numpy.
"""

from typing import Any, Literal, NamedTuple

import numpy as np

from attnjax.ops.grid import KEY_AXIS, QUERY_AXIS, Grid, Sizes
from attnjax.ops.tree import library

EMPTY, PARTIAL, FULL = 0, 1, 2
Op = Literal["min", "max", "any", "all"]


class Bounds(NamedTuple):
    """Per tile, broadcastable to [B, N, nq, nk]: may `some` pair attend? does `every` pair for certain?"""

    some: Any
    every: Any


class Tiles(NamedTuple):
    """The pairs cut into tiles of block_q × block_k (the last ones ragged)."""

    sizes: Sizes
    block_q: int
    block_k: int

    @property
    def nq(self) -> int:
        return max(1, -(-self.sizes.queries // self.block_q))

    @property
    def nk(self) -> int:
        return max(1, -(-self.sizes.keys // self.block_k))

    @property
    def q_range(self) -> tuple[np.ndarray, np.ndarray]:
        """First and last query of each row of tiles, [1, 1, nq, 1]."""
        first, last = _ranges(self.nq, self.block_q, self.sizes.queries)
        return first[None, None, :, None], last[None, None, :, None]

    @property
    def k_range(self) -> tuple[np.ndarray, np.ndarray]:
        """First and last key of each column of tiles, [1, 1, 1, nk]."""
        first, last = _ranges(self.nk, self.block_k, self.sizes.keys)
        return first[None, None, None, :], last[None, None, None, :]

    def reduce(self, op: Op, grid: Grid) -> Any:
        """`op` of a Grid over each tile: [B|1, N|1, nq|1, nk|1]."""
        x = _reduce_axis(op, grid.array, QUERY_AXIS, self.block_q, self.nq)
        return _reduce_axis(op, x, KEY_AXIS, self.block_k, self.nk)


def _ranges(count: int, size: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.arange(count, dtype=np.int32) * size
    return first, np.minimum(first + size, max(length, 1)).astype(np.int32) - 1


def _reduce_axis(op: Op, x: Any, axis: int, size: int, count: int) -> Any:
    length, xp = x.shape[axis], library(x)
    if length == 1:
        return x
    padding = [(0, 0)] * x.ndim
    padding[axis] = (0, count * size - length)
    # A repeated edge value changes no minimum, maximum, any or all.
    x = xp.pad(x, padding, mode="edge") if padding[axis][1] else x
    return getattr(xp, op)(x.reshape(*x.shape[:axis], count, size, *x.shape[axis + 1 :]), axis=axis + 1)
