"""The sizes of blocks: a table of what a pair costs in blocks of each size, and the choice by it."""

from typing import Any, NamedTuple

import jax
import numpy as np

from attnjax.ops.engines.blocks import Blocking
from attnjax.ops.engines.problem import Problem
from attnjax.ops.engines.visits import likely, reach, tile_kinds
from attnjax.ops.grid import Sizes, fixed
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


def blocking_of(
    problem: Problem, block_q: int | None = None, block_k: int | None = None, span: int = 1
) -> Blocking:
    """The blocks of a call: of the cheapest size for what the mask leaves, with as many heads as fit.

    Batch and heads stay whole where several devices may share the call, for the compiler to divide, and on
    accelerators, which compute them side by side.
    """
    sizes, key_heads = problem.rules.sizes, problem.key.shape[2]
    on_cpu = jax.default_backend() == "cpu"
    known = fixed(sizes.flat_batch)  # Of a symbol there is no telling how many elements make a block.
    shared = jax.device_count() > 1 and not jax.sharding.get_abstract_mesh().manual_axes
    whole = not on_cpu or shared or not known
    tiles = Tiles(sizes, block_q or 0, block_k or 0)
    if block_q is None or block_k is None:
        scores = WHOLE_SCORES if on_cpu else ACCELERATOR_SCORES
        heads = max(1, (sizes.flat_batch if known else 1) * sizes.heads)
        tiles, span = _cheapest(problem, scores // heads if whole else None)
    pairs = tiles.block_q * span * tiles.block_k
    if whole or (tiles.nq == tiles.nk == 1 and sizes.flat_batch * sizes.heads * pairs <= CALL_SCORES):
        return Blocking(tiles, key_heads, sizes.flat_batch, key_heads, span)
    room = max(1, BLOCK_SCORES // pairs)
    groups = _divisor(key_heads, room * key_heads // sizes.heads)
    batch = _divisor(sizes.flat_batch, room // sizes.heads) if groups == key_heads else 1
    return Blocking(tiles, key_heads, batch, groups, span)


def _cheapest(problem: Problem, most: int | None) -> tuple[Tiles, int]:
    """Tiles, and how many make a block, of least cost; `most` scores of one head in a block if possible."""
    sizes, mask = problem.rules.sizes, likely(problem.rules.mask)
    found: list[tuple[float, Tiles, int]] = []
    for cost in COSTS:
        tiles = Tiles(sizes, *_fitted(cost, sizes))
        kinds: Any = np.asarray(tile_kinds(mask, tiles))
        prices = (kinds == FULL) * cost.full + (kinds == PARTIAL) * cost.partial
        pairs = tiles.block_q * tiles.block_k
        if most is None or pairs <= most or not found:
            found.append((prices.mean(axis=(0, 1)).sum() * pairs, tiles, 1))
        span = reach(problem.rules.mask, tiles)
        if span * pairs <= (most or BLOCK_SCORES):
            found.append((cost.single * tiles.nq * span * pairs, tiles, span))
    return min(found, key=lambda x: x[0])[1:]


def _fitted(cost: Cost, sizes: Sizes) -> tuple[int, int]:
    """No longer than the sequences."""
    return max(1, min(cost.block_q, sizes.queries)), max(1, min(cost.block_k, sizes.keys))


def _divisor(n: int, most: int) -> int:
    """The largest divisor of n that is at most `most`, or 1."""
    return max((d for d in range(1, n + 1) if n % d == 0 and d <= most), default=1)
