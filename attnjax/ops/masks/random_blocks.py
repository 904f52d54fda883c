"""Random blocks, the long-range part of BigBird."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from attnjax.ops.core import checks
from attnjax.ops.core.node import static
from attnjax.ops.core.pairs import Block, Grid, Sizes, fixed
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.tiles import Bounds, Tiles


def random_blocks(key: PRNGKeyArray, size: int, count: int) -> Mask:
    """Returns the mask by which each block of queries attends blocks of keys, drawn without replacement.

    The same blocks for every batch element and head; all of them when there are no more than `count`.

    Args:
      key: a key of jax.random.
      size: of a block, in tokens.
      count: blocks of keys for each block of queries.

    Returns:
      The mask.

    Raises:
      TypeError: size or count are no integers.
      ValueError: size or count are below 1.

    References:
      Zaheer et al., Big Bird: Transformers for Longer Sequences, 2020 (arXiv:2007.14062).

    Example:
      >>> print(random_blocks(jax.random.key(2), 2, 1).draw(4, 8))
      · · ■ ■ · · · ·
      · · ■ ■ · · · ·
      ■ ■ · · · · · ·
      ■ ■ · · · · · ·
    """
    return RandomBlocks(key, checks.count("size", size), checks.count("count", count))


class RandomBlocks(Mask):
    """The mask that `random_blocks` returns."""

    key: Any
    size: int = static()
    count: int = static()

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        if not fixed(sizes.queries, sizes.keys):
            raise ValueError(
                f"random_blocks got T={sizes.queries} and S={sizes.keys}: expected numbers, since how many "
                "blocks there are decides the draw"
            )
        rows, columns = (max(1, -(-n // self.size)) for n in (sizes.queries, sizes.keys))
        order = jax.vmap(lambda key: jax.random.permutation(key, columns))(jax.random.split(self.key, rows))
        chosen = order[:, : self.count][jnp.arange(sizes.queries) // self.size]
        return DrawnBlocks(tuple(Grid(c[None, None, :, None]) for c in chosen.T), self.size)

    def __repr__(self) -> str:
        return f"random_blocks(…, {self.size}, {self.count})"


class DrawnBlocks(Mask):
    """The drawn blocks: for each draw the key block of every query."""

    chosen: Any
    size: int = static()

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        hits = [c.array == at.k // self.size for c in self.chosen]
        return jnp.any(jnp.stack(jnp.broadcast_arrays(*hits)), axis=0)

    def bounds(self, tiles: Tiles) -> Bounds:
        """Returns whether some, and whether all, pairs of each tile attend."""
        first, last = (k // self.size for k in tiles.k_range)
        some = every = np.zeros((1, 1, tiles.nq, tiles.nk), bool)
        for c in self.chosen:
            low, high = tiles.reduce("min", c), tiles.reduce("max", c)
            some = some | ((low <= last) & (first <= high))
            every = every | ((low == last) & (first == high))
        return Bounds(some, every)
