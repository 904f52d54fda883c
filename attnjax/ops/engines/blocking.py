"""The cuts of a call into blocks, and the arrays from which blocks are taken."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from attnjax.ops.core.pairs import Block
from attnjax.ops.masks.tiles import Tiles


class Index(NamedTuple):
    """The number of a block along batch elements, heads, queries and keys."""

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
    """The sizes of the blocks into which the pairs of a call are cut.

    A block has `batch` batch elements and `groups` key heads, and `span` tiles of keys, side by side. With a
    span above 1 a row of blocks has one block alone, wherever its tiles begin.
    """

    tiles: Tiles
    key_heads: int
    batch: int
    groups: int
    span: int = 1

    @property
    def single(self) -> bool:
        """True when one block has all the keys that a row of blocks attends to."""
        return self.span > 1 or self.tiles.nk == 1

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Blocks along batch, heads and queries, and tiles along keys."""
        batch, heads = self.tiles.sizes.flat_batch, self.key_heads // self.groups
        return 1 if self.batch == batch else batch // self.batch, heads, self.tiles.nq, self.tiles.nk

    def indices(self, at: Index) -> Block:
        """The indices of the pairs of a block."""
        sizes = self.tiles.sizes
        heads = self.groups * (sizes.heads // self.key_heads)
        steps = (self.batch, heads, self.tiles.block_q, self.tiles.block_k)
        lengths = (*steps[:3], self.span * self.tiles.block_k)
        shapes = ((-1, 1, 1, 1), (1, -1, 1, 1), (1, 1, -1, 1), (1, 1, 1, -1))
        return Block(
            *(
                (jnp.int32(i * step) + jnp.arange(n, dtype=jnp.int32)).reshape(shape)
                for i, step, n, shape in zip(at, steps, lengths, shapes, strict=True)
            )
        )

    def inside(self, at: Block) -> Array:
        """A mask of the pairs of a block inside of the sequences: the last blocks may be ragged."""
        (_, _, queries, keys), tiles = self.tiles.sizes, self.tiles
        inside = jnp.ones((1, 1, 1, 1), bool)
        if tiles.nq * tiles.block_q != queries:
            inside &= at.q < queries
        if tiles.nk * tiles.block_k != keys:
            inside &= at.k < keys
        return inside


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Blocked:
    """An array from which blocks are taken and into which they are put, where they lie.

    `cuts`: which axis is cut by which component of an index, at multiples of what, into how long pieces; an
    axis that one block spans is not cut, so that it may be sharded. `order`: of the array's axes in a block.
    """

    array: Array
    cuts: tuple[tuple[int, int, int, int], ...] = dataclasses.field(metadata={"static": True})
    order: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    def __getitem__(self, at: Index) -> Array:
        block = self.array
        for axis, component, step, size in self.cuts:
            block = jax.lax.dynamic_slice_in_dim(block, jnp.int32(at[component] * step), size, axis)
        return block.transpose(self.order)

    def put(self, at: Index, block: Array) -> "Blocked":
        """Returns the array with this block in its place."""
        block = block.transpose(sorted(range(block.ndim), key=self.order.__getitem__))
        starts = [jnp.int32(0)] * block.ndim
        for axis, component, step, _ in self.cuts:
            starts[axis] = jnp.int32(at[component] * step)
        array = jax.lax.dynamic_update_slice(self.array, block.astype(self.array.dtype), starts)
        return self.with_array(array)

    def add(self, at: Index, block: Array) -> "Blocked":
        """Returns the array with this block added to the one in its place."""
        return self.put(at, self[at] + block)

    def with_array(self, array: Array) -> "Blocked":
        """Another array that is cut alike."""
        return dataclasses.replace(self, array=array)


def cut(x: Array, axes: Axes, blocking: Blocking, order: tuple[int, ...] | None = None) -> Blocked:
    """`x` in blocks with their axes in this order; zeros fill up the last blocks."""
    steps = (None, None, blocking.tiles.block_q, blocking.tiles.block_k)
    spans = (1, 1, 1, blocking.span)
    cuts = []
    for component, axis in enumerate(axes):
        if axis is None:
            continue
        count = blocking.counts[component]
        step, span = steps[component] or x.shape[axis] // count, spans[component]
        if missing := count * step - x.shape[axis]:
            x = jnp.pad(x, [(0, missing if a == axis else 0) for a in range(x.ndim)])
        if count > span:
            cuts.append((axis, component, step, span * step))
    return Blocked(x, tuple(cuts), order or tuple(range(x.ndim)))


def uncut(x: Blocked, shape: tuple[int, ...]) -> Array:
    """The array of this shape, without what filled up the last blocks."""
    return x.array if x.array.shape == shape else x.array[tuple(slice(n) for n in shape)]


def grid_axes(x: Array) -> Axes:
    """The axes of a Grid's array that it does not broadcast over."""
    return Axes(*(a if x.shape[a] != 1 else None for a in range(4)))
