"""The sizes of blocks: a table of what a pair costs in blocks of each size, and the choice by it."""

from typing import Any, NamedTuple

import jax
import numpy as np

from attnjax.ops.engines.blocks import Blocking
from attnjax.ops.engines.problem import Problem
from attnjax.ops.engines.visits import likely, tile_kinds
from attnjax.ops.grid import Sizes
from attnjax.ops.masks.tiles import FULL, PARTIAL, Tiles


class Cost(NamedTuple):
    """Of one pair in a block of this size, forward and backward, relative to the cheapest."""

    block_q: int
    block_k: int
    full: float
    partial: float


# Measured by `python benchmarks/tune.py` on two CPU cores; other platforms have no table of their own yet.
COSTS = (
    Cost(128, 128, 2.44, 2.39),
    Cost(256, 128, 1.88, 1.86),
    Cost(256, 256, 1.88, 1.85),
    Cost(256, 512, 1.43, 1.41),
    Cost(512, 256, 1.15, 1.14),
    Cost(512, 512, 1.18, 1.22),
    Cost(1024, 512, 1.06, 1.06),
    Cost(1024, 1024, 1.00, 1.00),
)
# The scores of a block, over its batch elements and heads: what the passes over them find in a CPU's cache.
BLOCK_SCORES = 2**19
# The same where batch and heads are not cut: on a CPU, and on an accelerator, where nothing is measured yet.
WHOLE_SCORES, ACCELERATOR_SCORES = 2**23, 2**28


def blocking_of(problem: Problem, block_q: int | None = None, block_k: int | None = None) -> Blocking:
    """The blocks of a call: of the cheapest size for what the mask leaves, with as many heads as fit.

    Batch and heads stay whole where several devices may share the call, for the compiler to divide, and on
    accelerators, which compute them side by side.
    """
    sizes, key_heads = problem.rules.sizes, problem.key.shape[2]
    on_cpu = jax.default_backend() == "cpu"
    whole = not on_cpu or (jax.device_count() > 1 and not jax.sharding.get_abstract_mesh().manual_axes)
    if block_q is None or block_k is None:
        scores = WHOLE_SCORES if on_cpu else ACCELERATOR_SCORES
        heads = max(1, sizes.flat_batch * sizes.heads)
        block_q, block_k = _cheapest(problem, scores // heads if whole else None)
    tiles = Tiles(sizes, block_q, block_k)
    if whole:
        return Blocking(tiles, key_heads, sizes.flat_batch, key_heads)
    room = max(1, BLOCK_SCORES // (block_q * block_k))
    groups = _divisor(key_heads, room * key_heads // sizes.heads)
    batch = _divisor(sizes.flat_batch, room // sizes.heads) if groups == key_heads else 1
    return Blocking(tiles, key_heads, batch, groups)


def _cheapest(problem: Problem, most: int | None) -> tuple[int, int]:
    """The size of least cost, with `most` scores of one head in a block if possible."""
    sizes, mask = problem.rules.sizes, likely(problem.rules.mask)

    def price(cost: Cost) -> float:
        tiles = Tiles(sizes, *_fitted(cost, sizes))
        found: Any = np.asarray(tile_kinds(mask, tiles))
        prices = (found == FULL) * cost.full + (found == PARTIAL) * cost.partial
        return prices.mean(axis=(0, 1)).sum() * tiles.block_q * tiles.block_k

    fitting = [c for c in COSTS if most is None or c.block_q * c.block_k <= most]
    best = min(fitting or COSTS[:1], key=price)
    return _fitted(best, sizes)


def _fitted(cost: Cost, sizes: Sizes) -> tuple[int, int]:
    """No longer than the sequences."""
    return max(1, min(cost.block_q, sizes.queries)), max(1, min(cost.block_k, sizes.keys))


def _divisor(n: int, most: int) -> int:
    """The largest divisor of n that is at most `most`, or 1."""
    return max((d for d in range(1, n + 1) if n % d == 0 and d <= most), default=1)
