"""Masks by whole blocks of queries and keys that are on or off."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from attnjax.ops.core import checks
from attnjax.ops.core.node import library, shown, static
from attnjax.ops.core.pairs import Block, Sizes, broadcasts_to, fixed, flatten_batch
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.tiles import Bounds, Tiles


def blocks(array: Bool[Array, "..."], size: int | tuple[int, int]) -> Mask:
    """Returns the mask by which query i attends key j iff array[..., ⌊i/size⌋, ⌊j/size⌋].

    Blocks that are off are not computed, forward and backward. Maps may be computed from the tokens, as in
    Native Sparse Attention.

    Args:
      array: booleans that broadcast to [*B, N, ⌈T/size⌉, ⌈S/size⌉]; may be traced.
      size: of a block, in tokens, or a pair (of queries, of keys).

    Returns:
      The mask.

    Raises:
      TypeError: the array is not boolean.
      ValueError: size is below 1 or no pair; the array's shape does not broadcast (when attention is called).

    References:
      Yuan et al., Native Sparse Attention, 2025 (arXiv:2502.11089).

    Example:
      >>> print(blocks(jnp.array([[True, False], [True, True]]), 2).draw(4))
      ■ ■ · ·
      ■ ■ · ·
      ■ ■ ■ ■
      ■ ■ ■ ■
    """
    array = array if isinstance(array, np.ndarray) else checks.array("array of blocks", array)
    if array.dtype != np.bool_:
        raise TypeError(f"array of blocks is {array.dtype}{list(array.shape)}: expected bool, True = attend")
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise ValueError(f"size is {size}: expected tokens of a block, or a pair (of queries, of keys)")
    return Blocks(array, *(checks.count("size", n) for n in pair))


class Blocks(Mask):
    """The mask that `blocks` returns."""

    array: Any
    size_q: int = static()
    size_k: int = static()

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        array, shape = self.array, (*sizes.batch, sizes.heads, *self._counts(sizes))
        if not broadcasts_to(array.shape, shape):
            raise ValueError(
                f"array of blocks has shape {list(array.shape)}: expected one that broadcasts to "
                f"{list(shape)} (*B, N, ⌈T/{self.size_q}⌉, ⌈S/{self.size_k}⌉)"
            )
        if not isinstance(array, jax.core.Tracer):  # A small array, that stays known while tracing.
            array = jax.device_get(array)
        array = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
        array = library(array).broadcast_to(array, (*array.shape[:-2], *shape[-2:]))
        return Blocks(flatten_batch(array, sizes), self.size_q, self.size_k)

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        array = jnp.asarray(self.array)
        return array[_inside(array.shape, (at.b, at.h, at.q // self.size_q, at.k // self.size_k))]

    def bounds(self, tiles: Tiles) -> Bounds:
        """From how many blocks are on in a rectangle of them, of any range of positions."""
        xp = library(self.array)
        sums = xp.pad(self.array.astype(np.int32).cumsum(2).cumsum(3), ((0, 0), (0, 0), (1, 0), (1, 0)))
        top, bottom = (q // self.size_q + end for end, q in enumerate(tiles.q_range))
        left, right = (k // self.size_k + end for end, k in enumerate(tiles.k_range))
        batch, heads = (xp.arange(n) for n in sums.shape[:2])

        def before(q: Any, k: Any) -> Any:
            return sums[_inside(sums.shape, (batch[:, None, None, None], heads[:, None, None], q, k))]

        on = before(bottom, right) - before(top, right) - before(bottom, left) + before(top, left)
        return Bounds(on > 0, on == (bottom - top) * (right - left))

    def _counts(self, sizes: Sizes) -> tuple[int, int]:
        counts = -(-sizes.queries // self.size_q), -(-sizes.keys // self.size_k)
        return counts if not fixed(*counts) else (max(1, counts[0]), max(1, counts[1]))

    def __repr__(self) -> str:
        size = self.size_q if self.size_q == self.size_k else (self.size_q, self.size_k)
        return f"blocks({shown(self.array)}, {size})"


def _inside(shape: tuple[int, ...], places: tuple[Any, ...]) -> tuple[Any, ...]:
    """The places in an array of this shape, the nearest where they lie outside or it broadcasts."""
    here = np.zeros((1, 1, 1, 1), np.int32)
    return tuple(here if n == 1 else place.clip(0, n - 1) for n, place in zip(shape, places, strict=True))
