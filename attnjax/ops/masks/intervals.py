"""Masks by an interval of keys for each query."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from attnjax.ops.core import checks
from attnjax.ops.core.node import library, shown
from attnjax.ops.core.pairs import QUERY_AXIS, Block, Grid, Sizes, axis_grid
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.tiles import Bounds, Tiles

LIMITS = jnp.iinfo(jnp.int32)


def interval(start: Int[Array, "*B T"], stop: Int[Array, "*B T"]) -> Mask:
    """Returns the mask by which query i attends key j iff start_i ≤ j < stop_i.

    A query whose stop is not above its start attends nothing. Documents, windows of changing width and
    attention sinks are few of these, joined by |; FlashMask has intervals of queries for each key.

    Args:
      start: integers [*B, T], the first key of each query; may be traced.
      stop: integers [*B, T], the key after the last.

    Returns:
      The mask.

    Raises:
      TypeError: arrays are no integers.
      ValueError: arrays have another shape (when attention is called).

    References:
      Wang et al., FlashMask: Efficient and Rich Mask Extension of FlashAttention, 2024 (arXiv:2410.01359).

    Example:
      >>> print(interval(jnp.array([0, 0, 2, 1]), jnp.array([1, 2, 2, 4])).draw(4))
      ■ · · ·
      ■ ■ · ·
      · · · ·
      · ■ ■ ■
    """
    return Interval(checks.positions("start", start), checks.positions("stop", stop))


class Interval(Mask):
    """The mask that `interval` returns."""

    start: Any
    stop: Any

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        ends = (("interval start", self.start), ("interval stop", self.stop))
        return Interval(*(axis_grid(name, x, sizes, QUERY_AXIS) for name, x in ends))

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        return (self.start.array <= at.k) & (at.k < self.stop.array)

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        start, stop, (first, last) = self.start.array, self.stop.array, tiles.k_range
        xp = library(start, stop)
        # A query that attends nothing reaches from beyond the end to before the beginning.
        lowest = tiles.reduce("min", Grid(xp.where(start < stop, start, LIMITS.max)))
        highest = tiles.reduce("max", Grid(xp.where(start < stop, stop, LIMITS.min)))
        every = (tiles.reduce("max", self.start) <= first) & (last < tiles.reduce("min", self.stop))
        return Bounds((lowest <= last) & (first < highest), every)

    def __repr__(self) -> str:
        return f"interval({shown(self.start)}, {shown(self.stop)})"
