"""Masks by data: lengths, segment ids, a boolean array, any function."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from attnjax.ops.core.checks import positions
from attnjax.ops.core.dtypes import joined
from attnjax.ops.core.elementwise import elementwise, hoisted, needed
from attnjax.ops.core.node import known, position, shown, static, traced
from attnjax.ops.core.pairs import (
    KEY_AXIS,
    QUERY_AXIS,
    Block,
    Grid,
    Sizes,
    axis_grid,
    batch_grid,
    is_grid,
    pair_grid,
)
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.tiles import Bounds, Tiles

INDICES = [jax.ShapeDtypeStruct((), jnp.int32)] * 4


def lengths(query: int | Int[Array, "*B"] | None = None, key: int | Int[Array, "*B"] | None = None) -> Mask:
    """Returns the mask by which query i attends key j iff i < query and j < key: without padding at the end.

    Args:
      query: number of queries that are tokens, an int, or an integer array [] or [*B]; None = all.
      key: number of keys that are tokens, alike.

    Returns:
      The mask.

    Raises:
      TypeError: a length is no integer.

    Example:
      >>> print(lengths(query=2, key=3).draw(3, 4))
      ■ ■ ■ ·
      ■ ■ ■ ·
      · · · ·
    """
    return Lengths(_count("query", query), _count("key", key))


def segments(query_ids: Int[Array, "*B T"], key_ids: Int[Array, "*B S"] | None = None) -> Mask:
    """Returns the mask by which query i attends key j iff their segment ids are equal.

    So documents that are packed into one row do not see each other.

    Args:
      query_ids: integers [*B, T].
      key_ids: integers [*B, S]; None = those of the queries.

    Returns:
      The mask.

    Raises:
      TypeError: ids are no integers.
      ValueError: ids have another shape (when attention is called).

    Example:
      >>> print(segments(jnp.array([0, 0, 1])).draw(3))
      ■ ■ ·
      ■ ■ ·
      · · ■
    """
    return Segments(_integers("query_ids", query_ids), _integers("key_ids", key_ids))


def dense(array: Bool[Array, "..."]) -> Mask:
    """Returns the mask that an array is.

    Args:
      array: booleans that broadcast to [*B, N, T, S], True = attend.

    Returns:
      The mask.

    Raises:
      TypeError: the array is not boolean.
      ValueError: its shape does not broadcast (when attention is called).

    Example:
      >>> print(dense(jnp.array([[True, False], [True, True]])).draw(2))
      ■ ·
      ■ ■
    """
    array = jnp.asarray(array)
    if array.dtype != jnp.bool_:
        raise TypeError(f"mask is an array of {array.dtype}: expected bool, True = attend")
    return Dense(array)


def predicate(fn: Callable[..., Any], *params: Any) -> Mask:
    """Returns the mask by which query i attends key j iff fn(b, h, i, j, *params).

    Args:
      fn: function of int32 scalars that gives a bool: b counts the batch elements in row-major order, h the
        query heads.
      *params: pytrees of arrays, which may be traced, as arrays that fn closes over; they have no gradient.

    Returns:
      The mask.

    Raises:
      TypeError: fn is no function, or gives no bool scalar (when attention is called).

    Example:
      >>> print(predicate(lambda b, h, q, k: k % 2 == 0).draw(2, 4))
      ■ · ■ ·
      ■ · ■ ·
    """
    if not callable(fn):
        raise TypeError(f"predicate got {fn!r}: expected a function fn(b, h, q_index, k_index, *params)")
    # Numbers as arrays, which stay known while tracing.
    arrays = jax.tree.map(lambda x: x if hasattr(x, "dtype") else np.asarray(x, jnp.result_type(x)), params)
    return Predicate(fn, arrays)


class Lengths(Mask):
    """The mask that `lengths` returns."""

    query: Any = position()
    key: Any = position()

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        query, key = (
            None if x is None else batch_grid(f"lengths {name}", x, sizes)
            for name, x in (("query", self.query), ("key", self.key))
        )
        return Lengths(query, key)

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        inside = jnp.ones((1, 1, 1, 1), bool)
        for limit, index in ((self.query, at.q), (self.key, at.k)):
            inside = inside if limit is None else inside & (index < limit.array)
        return inside

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        some = every = np.ones((1, 1, 1, 1), bool)
        for limit, (first, last) in ((self.query, tiles.q_range), (self.key, tiles.k_range)):
            if limit is not None:
                some, every = some & (first < limit.array), every & (last < limit.array)
        return Bounds(some, every)

    def __repr__(self) -> str:
        given = [
            f"{name}={shown(x)}" for name, x in (("query", self.query), ("key", self.key)) if x is not None
        ]
        return f"lengths({', '.join(given)})"


class Segments(Mask):
    """The mask that `segments` returns."""

    query_ids: Any
    key_ids: Any  # None: as of the queries

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        key_ids = self.query_ids if self.key_ids is None else self.key_ids
        grids = (
            axis_grid("segments query_ids", self.query_ids, sizes, QUERY_AXIS),
            axis_grid("segments key_ids", key_ids, sizes, KEY_AXIS),
        )
        dtype = joined(*(grid.array for grid in grids))
        return Segments(*(Grid(grid.array.astype(dtype)) for grid in grids))

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        return self.query_ids.array == self.key_ids.array

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        q_low, q_high = tiles.reduce("min", self.query_ids), tiles.reduce("max", self.query_ids)
        k_low, k_high = tiles.reduce("min", self.key_ids), tiles.reduce("max", self.key_ids)
        some = (q_low <= k_high) & (k_low <= q_high)
        return Bounds(some, (q_low == k_high) & (k_low == q_high))

    def __repr__(self) -> str:
        ids = self.query_ids if self.key_ids is None else self.key_ids
        return f"segments({shown(self.query_ids)}, {shown(ids)})"


class Dense(Mask):
    """The mask that `dense` returns."""

    array: Any

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        return Dense(pair_grid("mask", self.array, sizes))

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        return self.array.array

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        return Bounds(tiles.reduce("any", self.array), tiles.reduce("all", self.array))

    def __repr__(self) -> str:
        return f"dense({shown(self.array)})"


class Predicate(Mask):
    """The mask that `predicate` returns."""

    fn: Callable[..., Any] = static()
    params: Any

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        fn, closed_over, result = hoisted(self.fn, *INDICES, *self.params)
        if getattr(result, "shape", None) != () or getattr(result, "dtype", None) != jnp.bool_:
            raise TypeError(f"the predicate gives {result} for scalar indices: expected a bool scalar")
        return Predicate(fn, jax.lax.stop_gradient((*self.params, *closed_over)))

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        return elementwise(lambda *index: self.fn(*index, *self.params), *at)

    def bounds(self, tiles: Tiles) -> Bounds:
        """By evaluation, one tile after the other: every pair is evaluated, one tile is in memory at a time.

        Exact; separate for batch elements and heads only where the function depends on them.
        """
        sizes = tiles.sizes
        by_batch, by_head, *_ = needed(lambda *index: self.fn(*index, *self.params), *INDICES)
        by_batch |= tiles.by_batch
        shape = (sizes.flat_batch if by_batch else 1, sizes.heads if by_head else 1, tiles.nq, tiles.nk)

        def tile(place: Array) -> tuple[Array, Array]:
            pairs = self.evaluate(tiles.block(*jnp.unravel_index(place, shape)))
            return pairs.any(), pairs.all()

        def table() -> Bounds:
            some, every = jax.lax.map(tile, jnp.arange(math.prod(shape)))
            return Bounds(some.reshape(shape), every.reshape(shape))

        return table() if traced((self, tiles)) else known(table)

    def __repr__(self) -> str:
        return f"predicate({getattr(self.fn, '__name__', self.fn)})"


def _count(name: str, value: Any) -> Any:
    value = _integers(name, value)
    return value if value is None or is_grid(value) or isinstance(value, int) else positions(name, value)


def _integers(name: str, value: Any) -> Any:
    if value is None or is_grid(value):
        return value
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    value = jnp.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.integer):
        raise TypeError(f"{name} is an array of {value.dtype}: expected integers")
    return value
