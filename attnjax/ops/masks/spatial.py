"""Neighborhoods in images and volumes whose tokens lie in row-major order."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attnjax.ops.core.node import library, static
from attnjax.ops.core.pairs import Block, Sizes
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.tiles import Bounds, Tiles


def neighborhood(shape: Sequence[int], window: int | Sequence[int]) -> Mask:
    """Returns the mask by which each token of a row-major grid attends its nearest along every axis.

    Along an axis of length L, x attends [s, s + w) with s = clip(x - ⌊w/2⌋, 0, L - w): at the edges the
    window moves inward, so that every token attends as many keys. T and S are the product of `shape`.

    Args:
      shape: lengths of the grid, of any number of axes.
      window: tokens along each axis, or one number for all.

    Returns:
      The mask.

    Raises:
      ValueError: a window is longer than its axis, or there are not as many; T or S are another number (when
        attention is called).

    References:
      Hassani et al., Neighborhood Attention Transformer, 2023 (arXiv:2204.07143).

    Example:
      >>> print(neighborhood((2, 3), (1, 2)).draw(6))
      ■ ■ · · · ·
      ■ ■ · · · ·
      · ■ ■ · · ·
      · · · ■ ■ ·
      · · · ■ ■ ·
      · · · · ■ ■
    """
    shape = tuple(int(n) for n in shape)
    window = (int(window),) * len(shape) if isinstance(window, int) else tuple(int(w) for w in window)
    if not shape or min(shape) < 1 or len(window) != len(shape):
        raise ValueError(f"shape is {shape}, window {window}: expected as many sizes, each at least 1")
    if any(not 1 <= w <= n for w, n in zip(window, shape, strict=True)):
        raise ValueError(f"window is {window}: expected 1 to the axis' length in {shape}")
    return Neighborhood(shape, window)


class Neighborhood(Mask):
    """The mask that `neighborhood` returns."""

    shape: tuple[int, ...] = static()
    window: tuple[int, ...] = static()

    def bind(self, sizes: Sizes) -> Mask:
        """Returns the mask with its arrays laid out for calls of these sizes."""
        tokens = math.prod(self.shape)
        if sizes.queries != tokens or sizes.keys != tokens:
            raise ValueError(
                f"the mask neighborhood({self.shape}, …) is for {tokens} tokens: "
                f"got T={sizes.queries} and S={sizes.keys}"
            )
        return self

    def evaluate(self, at: Block) -> Array:
        """Returns which pairs of a block attend."""
        inside = jnp.ones((1, 1, 1, 1), bool)
        stride = math.prod(self.shape)
        for length, window in zip(self.shape, self.window, strict=True):
            stride //= length
            start = _start(at.q // stride % length, length, window)
            x = at.k // stride % length
            inside = inside & (start <= x) & (x < start + window)
        return inside

    def bounds(self, tiles: Tiles) -> Bounds:
        """By the leading axis only, along which positions grow with the index."""
        length, window = self.shape[0], self.window[0]
        stride = math.prod(self.shape[1:])
        q_first, q_last = (q // stride for q in tiles.q_range)
        k_first, k_last = (k // stride for k in tiles.k_range)
        low, high = _start(q_first, length, window), _start(q_last, length, window) + window
        return Bounds((k_last >= low) & (k_first < high), np.array(False))

    def __repr__(self) -> str:
        return f"neighborhood({self.shape}, {self.window})"


def _start(x: Any, length: int, window: int) -> Any:
    return library(x).clip(x - window // 2, 0, length - window)
