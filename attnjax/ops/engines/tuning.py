"""Sizes of blocks."""

from attnjax.ops.engines.blocks import Blocking
from attnjax.ops.engines.problem import Problem
from attnjax.ops.masks.tiles import Tiles

BLOCK_SIZES = (512, 256, 128)
BLOCK_ELEMENTS = 2**20


def blocking_of(problem: Problem, block_q: int | None = None, block_k: int | None = None) -> Blocking:
    sizes, key_heads = problem.rules.sizes, problem.key.shape[2]
    size = BLOCK_SIZES[0]
    tiles = Tiles(
        sizes, block_q or max(1, min(size, sizes.queries)), block_k or max(1, min(size, sizes.keys))
    )
    room = max(1, BLOCK_ELEMENTS // (tiles.block_q * tiles.block_k))
    groups = _divisor(key_heads, room * key_heads // sizes.heads)
    batch = _divisor(sizes.flat_batch, room // sizes.heads) if groups == key_heads else 1
    return Blocking(tiles, key_heads, batch, groups)


def _divisor(n: int, most: int) -> int:
    """The largest divisor of n that is at most `most`, or 1."""
    return max((d for d in range(1, n + 1) if n % d == 0 and d <= most), default=1)
