"""Arrays cut into the blocks of a call, laid out so that a block is one contiguous slice."""

import dataclasses
import math
from collections.abc import Sequence
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
    strides: tuple[int, ...] = dataclasses.field(metadata={"static": True})

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


def cut(x: Array, axes: Axes, blocking: Blocking, order: Sequence[int] | None = None) -> Blocked:
    """`x` in blocks, the axes of a block in this order of the axes of x; zeros fill up the last blocks.

    One reshape and one transposition, which XLA makes one pass over the memory.
    """
    lengths = (None, None, blocking.tiles.block_q, blocking.tiles.block_k)
    for component, axis in enumerate(axes):
        if axis is not None and (length := lengths[component]):
            missing = blocking.counts[component] * length - x.shape[axis]
            x = jnp.pad(x, [(0, missing if a == axis else 0) for a in range(x.ndim)]) if missing else x
    parts = _parts(axes, blocking)
    shape: list[int] = []
    outer, inner = {}, []
    for axis, n in enumerate(x.shape):
        if axis in parts:  # An axis that one block spans stays untouched: it may be sharded.
            component, count = parts[axis]
            outer[component] = len(shape)
            shape += [count, n // count]
        else:
            shape.append(n)
        inner.append(len(shape) - 1)
    places = [outer[c] for c in sorted(outer)] + [inner[a] for a in order or range(x.ndim)]
    array = x.reshape(shape).transpose(places)
    strides = [0, 0, 0, 0]
    for i, component in enumerate(sorted(outer)):
        strides[component] = math.prod(array.shape[i + 1 : len(outer)])
    return Blocked(array.reshape(-1, *array.shape[len(outer) :]) if outer else array[None], tuple(strides))


def join(x: Blocked, axes: Axes, blocking: Blocking, order: Sequence[int] | None = None) -> Array:
    """The inverse of `cut`."""
    parts = _parts(axes, blocking)
    outer = sorted(parts.values())
    array = x.array.reshape(*(count for _, count in outer), *x.array.shape[1:])
    dims = array.ndim - len(outer)
    places, shape = [], []
    for axis in range(dims):
        place = len(outer) + list(order or range(dims)).index(axis)
        places += [outer.index(parts[axis]), place] if axis in parts else [place]
        shape.append(array.shape[place] * (parts[axis][1] if axis in parts else 1))
    array = array.transpose(places).reshape(shape)
    sizes = blocking.tiles.sizes
    for length, axis in ((sizes.queries, axes.queries), (sizes.keys, axes.keys)):
        array = array if axis is None else jax.lax.slice_in_dim(array, 0, length, axis=axis)
    return array


def _parts(axes: Axes, blocking: Blocking) -> dict[int, tuple[int, int]]:
    """Component and number of blocks for each axis that is cut into several."""
    return {
        axis: (component, blocking.counts[component])
        for component, axis in enumerate(axes)
        if axis is not None and blocking.counts[component] > 1
    }


def grid_axes(x: Array) -> Axes:
    """The axes of a Grid's array that it does not broadcast over."""
    return Axes(*(a if x.shape[a] != 1 else None for a in range(4)))
