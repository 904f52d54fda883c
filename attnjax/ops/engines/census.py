"""The kinds of a call's tiles, as known before it runs.

Small tiles are classified once; the kinds of larger ones follow from theirs.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int8

from attnjax.ops.core.pairs import Sizes
from attnjax.ops.engines.schedule import likely, tile_kinds
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.tiles import FULL, PARTIAL, Tiles

SMALL = 64


class Census(NamedTuple):
    """The kinds of the small tiles: as a guess, and as a bound that leaves whatever the mask leaves.

    `exact`: both are what the mask leaves.
    """

    small: Tiles
    guess: Int8[np.ndarray, "b h nq nk"]
    bound: Int8[np.ndarray, "b h nq nk"]
    exact: bool

    def kinds(self, tiles: Tiles) -> Int8[np.ndarray, "b h nq nk"]:
        """The guess for tiles that are cut at multiples of the small ones."""
        return _joined(self.guess, self.small, tiles)

    def bounding(self, tiles: Tiles) -> Int8[np.ndarray, "b h nq nk"]:
        """The bound for tiles that are cut at multiples of the small ones."""
        return _joined(self.bound, self.small, tiles)


def census(mask: Mask | None, sizes: Sizes, typical: Mask | None = None) -> Census:
    """The census of a bound mask. Every pair of a predicate is evaluated once, of any other mask none.

    `typical`: what to guess by, where the mask is traced.
    """
    small = Tiles(sizes, max(1, min(SMALL, sizes.queries)), max(1, min(SMALL, sizes.keys)))
    known, most = likely(mask) if typical is None else typical, likely(mask, packed=None)
    guess = tile_kinds(known, small)
    bound = guess if most is known else tile_kinds(most, small)
    return Census(small, guess, bound, known is mask)


def _joined(kinds: np.ndarray, small: Tiles, tiles: Tiles) -> np.ndarray:
    low = high = kinds
    cuts = ((2, tiles.block_q, small.block_q, tiles.nq), (3, tiles.block_k, small.block_k, tiles.nk))
    for axis, size, unit, count in cuts:
        starts = np.arange(count) * (size // unit)
        low, high = np.minimum.reduceat(low, starts, axis), np.maximum.reduceat(high, starts, axis)
    found = np.where(low == high, low, PARTIAL).astype(np.int8)
    # A tile that reaches beyond the sequence has pairs outside of it, which are masked.
    for axis, beyond in (
        (2, tiles.nq * tiles.block_q != tiles.sizes.queries),
        (3, tiles.nk * tiles.block_k != tiles.sizes.keys),
    ):
        last = found[(slice(None),) * axis + (-1,)]
        np.copyto(last, PARTIAL, where=(last == FULL) & beyond)
    return found
