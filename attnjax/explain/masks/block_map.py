"""The map of a mask: the blocks that attention computes, and the number of pairs that attend."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int8

from attnjax.config import require
from attnjax.ops.arguments import make_call
from attnjax.ops.core.pairs import Sizes, map_grids
from attnjax.ops.engines.blocking import Blocking, Index, cut, grid_axes
from attnjax.ops.engines.call import AttentionCall
from attnjax.ops.engines.choose import EngineChoice, choose
from attnjax.ops.engines.schedule import covered, grouped, tile_kinds
from attnjax.ops.engines.tuning import blocking_of
from attnjax.ops.masks import Mask
from attnjax.ops.masks.base import classes
from attnjax.ops.masks.tiles import FULL, PARTIAL, Tiles

COUNTED = 512  # Queries and keys of the tiles in which pairs are counted.
SAMPLE = 1024  # Tiles: about a second.
MOST_BLOCKS = 2**24
MOST_TOKENS = 2**26


@dataclass(frozen=True)
class Share:
    """The share of pairs that attend; `error` is its standard error for `sampled` of `partial` tiles."""

    value: float
    error: float
    sampled: int
    partial: int

    @property
    def exact(self) -> bool:
        """True if no block was left out of the sample."""
        return self.sampled == self.partial


@dataclass(frozen=True)
class BlockMap:
    """The blocks of a call that the mask leaves.

    `kinds` is EMPTY, PARTIAL or FULL for each block, [b, h, nq, nk]; b and h are 1 unless the mask tells
    batch elements or heads apart that lie in different blocks. `chosen` has the block sizes that attention
    takes, `choice` the engine.
    """

    kinds: Int8[np.ndarray, "b h nq nk"]
    tiles: Tiles
    chosen: Tiles
    choice: EngineChoice
    share: Share

    def count(self, kind: int) -> int:
        """Returns the number of blocks of a kind."""
        return int(np.sum(self.kinds == kind))


def block_map(mask: Mask, sizes: Sizes, block_q: int | None = None, block_k: int | None = None) -> BlockMap:
    """The map for a call of attention with these sizes, in blocks of its choice where None is given.

    ValueError where the mask does not fit the sizes, InputError for more than 2²⁴ blocks or 2²⁶ tokens.
    """
    lengths, asked = (sizes.queries, sizes.keys), (block_q, block_k)
    smallest = [min(n or COUNTED, COUNTED) for n in asked]
    blocks = sizes.flat_batch * math.prod(-(-n // m) for n, m in zip(lengths, smallest, strict=True))
    shown = f"{blocks} blocks of {smallest[0]} queries × {smallest[1]} keys"
    require(blocks <= MOST_BLOCKS, f"{shown}: expected at most {MOST_BLOCKS}")
    tokens = sizes.flat_batch * sizes.heads * max(lengths)
    require(tokens <= MOST_TOKENS, f"batch × heads × length is {tokens}: expected at most {MOST_TOKENS}")
    call = _call(mask, sizes)
    chosen = blocking_of(call).tiles
    wanted = [None if n is None else min(n, m) for n, m in zip(asked, lengths, strict=True)]
    blocking = blocking_of(call, wanted[0], wanted[1])
    found = covered(grouped(np.asarray(tile_kinds(call.rules.mask, blocking.tiles)), blocking), blocking)
    share = attending(call.rules.mask, sizes)
    return BlockMap(found, blocking.tiles, chosen, choose(call, None), share)


def attending(mask: Any, sizes: Sizes) -> Share:
    """The share of pairs that a bound mask lets attend.

    Exact in tiles that are empty or full for certain; the others are evaluated, all of them or a sample.
    """
    tiles = Tiles(sizes, min(COUNTED, sizes.queries), min(COUNTED, sizes.keys))
    found = np.asarray(classes(mask, tiles))
    area = np.broadcast_to(_lengths(tiles.q_range) * _lengths(tiles.k_range), found.shape).astype(np.int64)
    places = np.argwhere(found == PARTIAL)
    full, partial = int(area[found == FULL].sum()), int(area[found == PARTIAL].sum())
    chosen = places
    if len(places) > SAMPLE:
        chosen = places[np.random.default_rng(0).choice(len(places), SAMPLE, replace=False)]
    counts, areas = _count(mask, tiles, chosen), area[tuple(chosen.T)]
    rate = counts.sum() / max(1, areas.sum())
    error = 0.0
    if len(chosen) < len(places):
        error = float(np.std(counts - rate * areas) / areas.mean() / math.sqrt(len(chosen)))
    whole = area.sum()
    return Share(
        float((full + rate * partial) / whole), error * partial / float(whole), len(chosen), len(places)
    )


def _call(mask: Mask, sizes: Sizes) -> AttentionCall:
    """A call with heads of size 1: blocks do not depend on what is in the vectors."""
    query = jnp.zeros((*sizes.batch, sizes.queries, sizes.heads, 1))
    key = jnp.zeros((*sizes.batch, sizes.keys, sizes.heads, 1))
    return make_call(query, key, key, mask=mask)


def _count(mask: Mask, tiles: Tiles, places: np.ndarray) -> np.ndarray:
    """Returns the number of pairs that attend in each of the tiles [n, 4]."""
    if not len(places):
        return np.zeros(0, np.int64)
    blocking = Blocking(tiles, tiles.sizes.heads, 1, 1)
    blocks = map_grids(lambda x: cut(x, grid_axes(x), blocking), mask)

    def count(place: Array) -> Array:
        index = Index(*place)
        at = blocking.indices(index)
        inside = (at.q < tiles.sizes.queries) & (at.k < tiles.sizes.keys)
        return jnp.sum(inside & map_grids(lambda x: x[index], blocks).evaluate(at))

    return np.asarray(jax.jit(lambda x: jax.lax.map(count, x))(jnp.asarray(places)), np.int64)


def _lengths(ends: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return ends[1] - ends[0] + 1
