"""The sizes of blocks: a table of what a pair costs in blocks of each size, and the choice by it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from attnjax.ops.core.pairs import Sizes, fixed
from attnjax.ops.engines.blocking import Blocking
from attnjax.ops.engines.call import AttentionCall
from attnjax.ops.engines.census import Census, census
from attnjax.ops.engines.schedule import grouped, tile_kinds, widest
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.tiles import FULL, PARTIAL, Tiles


class Cost(NamedTuple):
    """Of one pair in a block of this size, forward and backward, relative to the cheapest.

    `single`: where all tiles of a row that are not empty make one block.
    """

    block_q: int
    block_k: int
    full: float
    partial: float
    single: float


# Measured by `python benchmarks/tune.py` on two CPU cores; other platforms have no table of their own yet.
COSTS = (
    Cost(64, 64, 3.11, 3.24, 2.94),
    Cost(128, 64, 2.98, 2.86, 2.03),
    Cost(128, 128, 2.67, 2.81, 2.06),
    Cost(256, 128, 2.06, 2.17, 1.77),
    Cost(256, 256, 2.38, 2.11, 1.45),
    Cost(256, 512, 1.44, 1.52, 2.05),
    Cost(512, 256, 1.37, 1.22, 1.70),
    Cost(512, 512, 1.15, 1.13, 1.84),
    Cost(1024, 512, 1.24, 1.30, 1.59),
    Cost(1024, 1024, 1.00, 1.03, 1.66),
)
# The scores of a block, over its batch elements and heads: what the passes over them find in a CPU's cache.
BLOCK_SCORES = 2**19
# A call of no more scores is one block, if it has one row of blocks: the turns of a loop would cost more.
CALL_SCORES = 2**20
# The same where batch and heads are not cut: on a CPU, and on an accelerator, where nothing is measured yet.
WHOLE_SCORES, ACCELERATOR_SCORES = 2**23, 2**28
# Blocks with fewer heads than fit, for heads that the mask tells apart, must leave out so much more: their
# turns are more.
SPLIT = 1.15


def blocking_of(
    call: AttentionCall, block_q: int | None = None, block_k: int | None = None, span: int = 1
) -> Blocking:
    """The blocks of a call: of the cheapest size where none is given, with as many heads as fit."""
    if block_q is None or block_k is None:
        return cheapest(call)[0]
    tiles = Tiles(call.rules.sizes, block_q, block_k)
    return Blocking(tiles, call.key.shape[2], *_room(call, tiles, span), span)


def cheapest(call: AttentionCall, typical: Mask | None = None) -> tuple[Blocking, Any]:
    """The blocks of least cost for what the mask leaves, and the kinds of their tiles.

    Of a traced mask that is guessed; `typical`, which is known, is a better guess of the caller's.
    """
    found = census(call.rules.mask, call.rules.sizes, typical)
    _, blocking = min(_ways(call, found), key=lambda way: way[0])
    kinds = found.kinds(blocking.tiles) if found.exact else tile_kinds(call.rules.mask, blocking.tiles)
    return blocking, kinds


def _ways(call: AttentionCall, found: Census) -> Iterator[tuple[float, Blocking]]:
    """Ways to cut a call, each with its cost for one head of a batch element."""
    sizes, key_heads, most = call.rules.sizes, call.key.shape[2], _most_scores(call)
    for cost in COSTS:
        tiles = Tiles(sizes, *_fitted(cost, sizes))
        pairs = tiles.block_q * tiles.block_k
        if most is None or pairs <= most or cost is COSTS[0]:
            kinds = found.kinds(tiles)
            for dearer, outer in _outers(call, kinds, tiles):
                blocking = Blocking(tiles, key_heads, *outer)
                left = grouped(kinds, blocking)
                prices = (left == FULL) * cost.full + (left == PARTIAL) * cost.partial
                yield dearer * pairs * prices.mean(axis=(0, 1)).sum(), blocking
        bound = found.bounding(tiles)
        for dearer, outer in _outers(call, bound, tiles, widest(bound.max(axis=(0, 1)))):
            span = widest(grouped(bound, Blocking(tiles, key_heads, *outer)))
            if span * pairs <= (most or BLOCK_SCORES):
                yield (
                    dearer * pairs * cost.single * tiles.nq * span,
                    Blocking(tiles, key_heads, *outer, span),
                )


def _outers(
    call: AttentionCall, kinds: np.ndarray, tiles: Tiles, span: int = 1
) -> Iterator[tuple[float, tuple[int, int]]]:
    """The most batch elements and key heads for a block, and fewer where the mask tells them apart.

    Each with how much dearer a pair counts than where a block has the most.
    """
    batch, groups = _room(call, tiles, span)
    yield 1.0, (batch, groups)
    if _whole(call) or _short(call, tiles, span):
        return
    if kinds.shape[0] > 1:
        yield from ((SPLIT, (b, groups)) for b in range(1, batch) if batch % b == 0)
    if kinds.shape[1] > 1:
        yield from ((SPLIT, (1, g)) for g in range(1, groups) if groups % g == 0)


def _room(call: AttentionCall, tiles: Tiles, span: int) -> tuple[int, int]:
    """As many batch elements and key heads as fit into a block.

    They stay whole where several devices may share the call, for the compiler to divide, and on
    accelerators, which compute them side by side.
    """
    sizes, key_heads = call.rules.sizes, call.key.shape[2]
    if _whole(call) or _short(call, tiles, span):
        return sizes.flat_batch, key_heads
    room = max(1, BLOCK_SCORES // (tiles.block_q * span * tiles.block_k))
    groups = _divisor(key_heads, room * key_heads // sizes.heads)
    batch = _divisor(sizes.flat_batch, room // sizes.heads) if groups == key_heads else 1
    return batch, groups


def _short(call: AttentionCall, tiles: Tiles, span: int) -> bool:
    """Returns whether the call has one block."""
    sizes, pairs = call.rules.sizes, tiles.block_q * span * tiles.block_k
    return tiles.nq == tiles.nk == 1 and sizes.flat_batch * sizes.heads * pairs <= CALL_SCORES


def _whole(call: AttentionCall) -> bool:
    """Returns whether blocks have all batch elements and heads."""
    shared = jax.device_count() > 1 and not jax.sharding.get_abstract_mesh().manual_axes
    # Of a symbol there is no telling how many elements make a block.
    return shared or jax.default_backend() != "cpu" or not fixed(call.rules.sizes.flat_batch)


def _most_scores(call: AttentionCall) -> int | None:
    """The most scores of one head in a block, if possible; None = no limit."""
    if not _whole(call):
        return None
    (batch, heads), on_cpu = (
        (call.rules.sizes.flat_batch, call.rules.sizes.heads),
        jax.default_backend() == "cpu",
    )
    scores = WHOLE_SCORES if on_cpu else ACCELERATOR_SCORES
    return scores // max(1, (batch if fixed(batch) else 1) * heads)


def _fitted(cost: Cost, sizes: Sizes) -> tuple[int, int]:
    """No longer than the sequences."""
    return max(1, min(cost.block_q, sizes.queries)), max(1, min(cost.block_k, sizes.keys))


def _divisor(n: int, most: int) -> int:
    """The largest divisor of n that is at most `most`, or 1."""
    return max((d for d in range(1, n + 1) if n % d == 0 and d <= most), default=1)
