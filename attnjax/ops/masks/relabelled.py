"""A mask for tokens that lie in another order than the one that it speaks of."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Int

from attnjax.ops.core import checks
from attnjax.ops.core.node import library, shown
from attnjax.ops.core.pairs import KEY_AXIS, QUERY_AXIS, Block, Grid, Sizes, axis_grid, map_grids
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.tiles import Bounds, Tiles


def relabel(
    mask: Mask, query_positions: Int[Array, "*B T"], key_positions: Int[Array, "*B S"] | None = None
) -> Mask:
    """Returns the mask by which query i attends key j iff `mask` lets their positions attend.

    For tokens in another order than the mask's: images in tiles or along a Morton curve, a sequence dealt out
    to devices, documents whose positions begin anew. Arrays of the mask (ids, intervals, …) are read at the
    positions, at the nearest where they lie outside. A tile is skipped where the mask rules out all positions
    from the tile's lowest to its highest: an order that keeps near what attends each other leaves few tiles.

    Args:
      mask: of the order that it speaks of.
      query_positions: integers [*B, T]; may be traced.
      key_positions: integers [*B, S]; None = those of the queries.

    Returns:
      The mask.

    Raises:
      TypeError: mask is none, or positions are no integers.
      ValueError: positions have another shape (when attention is called).

    Example:
      >>> import attnjax as aj
      >>> print(relabel(aj.causal(), jax.numpy.array([0, 2, 1, 3])).draw(4))
      ■ · · ·
      ■ ■ ■ ·
      ■ · ■ ·
      ■ ■ ■ ■
    """
    if not isinstance(mask, Mask):
        raise TypeError(f"mask is {mask!r}: expected a mask of attnjax")
    query = checks.positions("query_positions", query_positions)
    return Relabelled(
        mask, query, None if key_positions is None else checks.positions("key_positions", key_positions)
    )


class Relabelled(Mask):
    """The mask that `relabel` returns."""

    mask: Any
    query: Any
    key: Any  # None: as of the queries

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        query, key, read = laid_out(self.query, self.query if self.key is None else self.key, sizes)
        return Relabelled(map_grids(read, self.mask.bind(sizes)), query, key)

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        return self.mask.evaluate(at._replace(q=self.query.array, k=self.key.array))

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        return self.mask.bounds(tiles._replace(query=self.query, key=self.key))

    def __repr__(self) -> str:
        key = "" if self.key is None else f", {shown(self.key)}"
        return f"relabel({self.mask!r}, {shown(self.query)}{key})"


def laid_out(query: Any, key: Any, sizes: Sizes) -> tuple[Grid, Grid, Callable[[Any], Any]]:
    """Returns positions [*B, T] and [*B, S] as grids, and a function that reads other grids' arrays there."""
    query = _laid("relabel query_positions", query, sizes, QUERY_AXIS)
    key = _laid("relabel key_positions", key, sizes, KEY_AXIS)
    return query, key, lambda x: _taken(_taken(x, query.array, QUERY_AXIS), key.array, KEY_AXIS)


def _laid(name: str, positions: Any, sizes: Sizes, axis: int) -> Grid:
    if not isinstance(positions, jax.core.Tracer):  # A small array, that stays known while tracing.
        positions = jax.device_get(positions)
    return axis_grid(name, positions, sizes, axis)


def _taken(x: Any, positions: Any, axis: int) -> Any:
    """Returns x [B|1, N|1, T|1, S|1] at the positions [B|1, 1, T|1, S|1] along the axis."""
    length, xp = x.shape[axis], library(x, positions)
    if length == 1:
        return x
    positions = positions.clip(0, length - 1)
    if positions.shape[0] == 1:
        return xp.take(x, positions.reshape(-1), axis=axis)
    x = xp.broadcast_to(x, (positions.shape[0], *x.shape[1:]))
    return xp.take_along_axis(x, positions, axis=axis)
