"""Arrays cut into the blocks of a call, laid out so that a block is one contiguous slice."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from attnjax.ops.grid import Block
from attnjax.ops.masks.tiles import Tiles


class Index(NamedTuple):
    """Which block: of batch elements, of heads, of queries, of keys."""

    batch: Int[Array, ""] | int
    heads: Int[Array, ""] | int
    queries: Int[Array, ""] | int
    keys: Int[Array, ""] | int


class Axes(NamedTuple):
    """The axes of an array that are cut with the blocks; None for those that it lacks."""

    batch: int | None = None
    heads: int | None = None
    queries: int | None = None
    keys: int | None = None


class Blocking(NamedTuple):
    """How the pairs of a call are cut. `batch` and `groups`: batch elements and key heads in a block."""

    tiles: Tiles
    key_heads: int
    batch: int
    groups: int

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Blocks along batch, heads, queries and keys."""
        outer = self.tiles.sizes.flat_batch // max(1, self.batch), self.key_heads // self.groups
        return max(1, outer[0]), outer[1], self.tiles.nq, self.tiles.nk

    def indices(self, at: Index) -> Block:
        """The indices of the pairs of a block."""
        sizes = self.tiles.sizes
        lengths = (self.batch, self.groups * (sizes.heads // self.key_heads))
        lengths += (self.tiles.block_q, self.tiles.block_k)
        shapes = ((-1, 1, 1, 1), (1, -1, 1, 1), (1, 1, -1, 1), (1, 1, 1, -1))
        return Block(
            *(
                (jnp.int32(i * n) + jnp.arange(n, dtype=jnp.int32)).reshape(shape)
                for i, n, shape in zip(at, lengths, shapes, strict=True)
            )
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Blocked:
    """An array [blocks, *block]; `strides` says how far apart the blocks of neighbouring indices are."""

    array: Any
    strides: tuple[int, int, int, int] = dataclasses.field(metadata={"static": True})

    def __getitem__(self, at: Index) -> Array:
        return jax.lax.dynamic_index_in_dim(self.array, self._place(at), 0, keepdims=False)

    def put(self, at: Index, block: Array) -> "Blocked":
        array = jax.lax.dynamic_update_index_in_dim(self.array, block, self._place(at), 0)
        return self.with_array(array)

    def add(self, at: Index, block: Array) -> "Blocked":
        return self.put(at, self[at] + block)

    def with_array(self, array: Array) -> "Blocked":
        """Another array in as many blocks."""
        return Blocked(array, self.strides)

    def _place(self, at: Index) -> Array:
        return sum((jnp.int32(i * s) for i, s in zip(at, self.strides, strict=True) if s), jnp.int32(0))


def cut(x: Array, axes: Axes, blocking: Blocking) -> Blocked:
    """`x` in blocks; zeros fill up the last ones."""
    lengths = (None, None, blocking.tiles.block_q, blocking.tiles.block_k)
    parts: list[tuple[int, int]] = []
    for component, axis in enumerate(axes):
        if axis is None:
            continue
        count, place = blocking.counts[component], axis + len(parts)
        size = lengths[component] or x.shape[place] // count
        if missing := count * size - x.shape[place]:
            x = jnp.pad(x, [(0, missing if a == place else 0) for a in range(x.ndim)])
        if count > 1:  # An axis that one block spans stays untouched: it may be sharded.
            x = x.reshape(*x.shape[:place], count, size, *x.shape[place + 1 :])
            x = jnp.moveaxis(x, place, len(parts))
            parts.append((component, count))
    strides = [0, 0, 0, 0]
    for i, (component, _) in enumerate(parts):
        strides[component] = math.prod(count for _, count in parts[i + 1 :])
    return Blocked(x.reshape(-1, *x.shape[len(parts) :]) if parts else x[None], _four(strides))


def join(x: Blocked, axes: Axes, blocking: Blocking) -> Array:
    """The inverse of `cut`."""
    sizes = blocking.tiles.sizes
    lengths = (None, None, sizes.queries, sizes.keys)
    parts = [c for c, axis in enumerate(axes) if axis is not None and blocking.counts[c] > 1]
    array = x.array.reshape(*(blocking.counts[c] for c in parts), *x.array.shape[1:])
    for i, component in reversed(list(enumerate(parts))):
        place = i + axes[component]
        array = jnp.moveaxis(array, i, place)
        array = array.reshape(*array.shape[:place], -1, *array.shape[place + 2 :])
    for length, axis in zip(lengths, axes, strict=True):
        if length is not None and axis is not None:
            array = jax.lax.slice_in_dim(array, 0, length, axis=axis)
    return array


def grid_axes(x: Array) -> Axes:
    """The axes of a Grid's array that it does not broadcast over."""
    return Axes(*(a if x.shape[a] != 1 else None for a in range(4)))


def _four(strides: list[int]) -> tuple[int, int, int, int]:
    a, b, c, d = strides
    return a, b, c, d
