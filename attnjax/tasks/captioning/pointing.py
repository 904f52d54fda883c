"""The pointing game of captions: is the patch that a word looks at most one that shows what it says?"""

from collections.abc import Sequence

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


def points(
    weights: Float[np.ndarray, "W P"], regions: Sequence[int], owner: np.ndarray, patch: int
) -> tuple[list[bool], list[float]]:
    """Returns for each word that is said of a region whether it points there, and the share of patches there.

    The share is what pointing anywhere would score. A patch shows a region of which it holds a pixel.

    Args:
      weights: of each word over the patches, row by row.
      regions: of each word; 0 where it is said of none.
      owner: the region of each pixel.
      patch: pixels of a side of a patch.

    References:
      Zhang et al., Top-down Neural Attention by Excitation Backprop, 2016, arXiv:1608.00507 (the game).

    Example:
      >>> owner = np.array([[1, 0], [0, 2]], np.uint8)
      >>> weights = np.array([[0.7, 0.1, 0.1, 0.1], [0.5, 0.5, 0, 0], [0.4, 0, 0, 0.3]])
      >>> points(weights, (1, 0, 2), owner, 1)
      ([True, False], [0.25, 0.25])
    """
    shown = {region: holds(owner, region, patch) for region in set(regions) - {0}}
    said = [(row, region) for row, region in enumerate(regions) if region]
    hits = [bool(shown[region][int(np.argmax(weights[row]))]) for row, region in said]
    return hits, [float(shown[region].mean()) for _, region in said]
