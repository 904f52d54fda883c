"""Tiles of the pairs, and what interval reasoning can say about them.

In numpy for a mask whose arrays are numpy's, so that it is known while tracing; else in jax.numpy.
"""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from attnjax.ops.core.node import library
from attnjax.ops.core.pairs import KEY_AXIS, QUERY_AXIS, Block, Grid, Sizes

EMPTY, PARTIAL, FULL = 0, 1, 2
Op = Literal["min", "max", "any", "all"]


class Bounds(NamedTuple):
    """Per tile, broadcastable to [B, N, nq, nk]: may `some` pair attend? does `every` pair for certain?"""

    some: Any
    every: Any


class Tiles(NamedTuple):
    """The pairs cut into tiles of block_q × block_k (the last ones ragged).

    `query` [B|1, 1, T, 1] and `key` [B|1, 1, 1, S] hold positions that a mask takes the tokens to stand at;
    None = where they lie.
    """

    sizes: Sizes
    block_q: int
    block_k: int
    query: Grid | None = None
    key: Grid | None = None

    @property
    def nq(self) -> int:
        """The number of rows of tiles."""
        return max(1, -(-self.sizes.queries // self.block_q))

    @property
    def nk(self) -> int:
        """The number of columns of tiles."""
        return max(1, -(-self.sizes.keys // self.block_k))

    @property
    def q_range(self) -> tuple[Any, Any]:
        """Lowest and highest position of the queries of each row of tiles, [B|1, 1, nq, 1]."""
        if self.query is not None:
            return self.reduce("min", self.query), self.reduce("max", self.query)
        first, last = _ranges(self.nq, self.block_q, self.sizes.queries)
        return first[None, None, :, None], last[None, None, :, None]

    @property
    def k_range(self) -> tuple[Any, Any]:
        """Lowest and highest position of the keys of each column of tiles, [B|1, 1, 1, nk]."""
        if self.key is not None:
            return self.reduce("min", self.key), self.reduce("max", self.key)
        first, last = _ranges(self.nk, self.block_k, self.sizes.keys)
        return first[None, None, None, :], last[None, None, None, :]

    def reduce(self, op: Op, grid: Grid) -> Any:
        """`op` of a Grid over each tile: [B|1, N|1, nq|1, nk|1]."""
        x = _reduce_axis(op, grid.array, QUERY_AXIS, self.block_q, self.nq)
        return _reduce_axis(op, x, KEY_AXIS, self.block_k, self.nk)

    @property
    def by_batch(self) -> bool:
        """True when positions differ between batch elements."""
        return any(x is not None and x.array.shape[0] != 1 for x in (self.query, self.key))

    def block(self, b: Any, h: Any, i: Any, j: Any) -> Block:
        """The indices of one tile's pairs; a ragged tile repeats its last query and key."""
        q = jnp.minimum(i * self.block_q + jnp.arange(self.block_q), max(self.sizes.queries, 1) - 1)
        k = jnp.minimum(j * self.block_k + jnp.arange(self.block_k), max(self.sizes.keys, 1) - 1)
        if self.query is not None:
            q = _of(self.query, b)[q]
        if self.key is not None:
            k = _of(self.key, b)[k]
        shapes = ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1, -1, 1), (1, 1, 1, -1))
        return Block(*(x.astype(jnp.int32).reshape(s) for x, s in zip((b, h, q, k), shapes, strict=True)))


def _of(positions: Grid, b: Any) -> Any:
    """The positions of a batch element."""
    array = jnp.asarray(positions.array)
    return array[0 if array.shape[0] == 1 else b].reshape(-1)


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
