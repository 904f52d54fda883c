"""The pointing game of captions: is the patch that a word looks at most one that shows what it says?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from attnjax.data.images.pictures import holds


def words_of(pieces: Sequence[str]) -> list[list[int]]:
    """Returns the places of the pieces of each word; "▁" begins one.

    >>> words_of(["a", "▁tri", "angle"])
    [[0], [1, 2]]
    """
    words: list[list[int]] = []
    for place, piece in enumerate(pieces):
        if piece.startswith("▁") or not words:
            words.append([])
        words[-1].append(place)
    return words


def by_word(weights: Float[np.ndarray, "L P"], pieces: Sequence[str]) -> Float[np.ndarray, "W P"]:
    """Returns the mean weights of the pieces of each word."""
    return np.stack([weights[places].mean(0) for places in words_of(pieces)])


class Pointed(NamedTuple):
    """A word that is said of a region, whether it points there, and the share of patches that lie there.

    The share is what pointing anywhere would score.
    """

    word: str
    hit: bool
    chance: float


def points(
    words: Sequence[str],
    weights: Float[np.ndarray, "W P"],
    regions: Sequence[int],
    owner: np.ndarray,
    patch: int,
) -> list[Pointed]:
    """Returns the pointing game of the words that are said of a region. A patch shows those it has pixels of.

    Args:
      words: of a caption.
      weights: of each word over the patches, row by row.
      regions: of each word; 0 where it is said of none.
      owner: the region of each pixel.
      patch: pixels of a side of a patch.

    References:
      Zhang et al., Top-down Neural Attention by Excitation Backprop, 2016, arXiv:1608.00507 (the game).

    Example:
      >>> owner = np.array([[1, 0], [0, 2]], np.uint8)
      >>> weights = np.array([[0.7, 0.1, 0.1, 0.1], [0.5, 0.5, 0, 0], [0.4, 0, 0, 0.3]])
      >>> for one in points(["red", "above", "blue"], weights, (1, 0, 2), owner, 1):
      ...     print(*one)
      red True 0.25
      blue False 0.25
    """
    shown = {region: holds(owner, region, patch) for region in set(regions) - {0}}
    return [
        Pointed(words[row], bool(shown[region][int(np.argmax(weights[row]))]), float(shown[region].mean()))
        for row, region in enumerate(regions)
        if region
    ]
