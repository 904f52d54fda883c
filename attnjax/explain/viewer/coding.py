"""Weights as whole numbers: the square root of their size, in 8 or 16 bits."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt

FINE_WEIGHTS = 1 << 20
"""Weights of a map up to which they have 16 bits each; more of them have 8."""


@dataclass(frozen=True)
class Coding:
    """A code for weights between -scale and scale, or 0 and scale: round(levels · √(|w| / scale)).

    The square root leaves small weights apart, of which rows of many tokens consist.

    Attributes:
      scale: the largest size of a weight.
      bits: 8 or 16.
      signed: whether weights may be negative; the code of 0 is then `levels`.

    Example:
      >>> code = Coding(1.0, 8, signed=False)
      >>> code.encode(np.array([0.0, 0.001, 1.0])).tolist(), round(code.largest_error, 4)
      ([0, 8, 255], 0.0039)
    """

    scale: float
    bits: int
    signed: bool

    @classmethod
    def of(cls, weights: Float[np.ndarray, "..."]) -> "Coding":
        """Returns the code for these weights."""
        low, high = float(weights.min()), float(weights.max())
        return cls(max(-low, high) or 1.0, 16 if weights.size <= FINE_WEIGHTS else 8, low < 0)

    @property
    def levels(self) -> int:
        """The code of the largest weight, less that of 0."""
        return 2**self.bits // 2 - 1 if self.signed else 2**self.bits - 1

    @property
    def largest_error(self) -> float:
        """The most by which a weight is off.

        A root is off by half a level, 1 / (2 · levels), at most, and a weight by that times the sum of two
        roots, each √scale at most.
        """
        return self.scale / self.levels

    def encode(self, weights: Float[np.ndarray, "..."]) -> UInt[np.ndarray, "..."]:
        """Returns the codes of weights."""
        root = np.rint(np.sqrt(np.abs(weights) / self.scale) * self.levels)
        codes = np.sign(weights) * root + self.levels if self.signed else root
        return codes.astype(np.uint8 if self.bits == 8 else np.uint16)

    def decode(self, codes: UInt[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Returns the weights that codes stand for, as the page reads them."""
        root = (codes.astype(float) - (self.levels if self.signed else 0)) / self.levels
        return np.sign(root) * root**2 * self.scale


def pooled(weights: Float[np.ndarray, "*H T S"], factor: int) -> Float[np.ndarray, "*H t s"]:
    """Returns of each square of so many rows and columns the weight of the largest size.

    >>> pooled(np.array([[1.0, -3.0, 2.0], [0.0, 1.0, -1.0]]), 2).tolist()
    [[-3.0, 2.0]]
    """
    if factor == 1:
        return weights
    *_, rows, columns = weights.shape
    edges = [np.arange(0, size, factor) for size in (rows, columns)]
    found = []
    for extreme in (np.maximum, np.minimum):
        found.append(extreme.reduceat(extreme.reduceat(weights, edges[0], axis=-2), edges[1], axis=-1))
    return np.where(found[0] >= -found[1], *found)
