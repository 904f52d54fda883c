"""Rendered tissue with bright spots: a toy of medical images, in which each spot's pixels are known."""

import numpy as np
from jaxtyping import Bool, Float

LESION = "lesion"
LESION_GREY = 50
"""By which a lesion is brighter than what is around it; as are vessels."""
_WAVES, _VESSELS = 4, 2
_RADII = 3.0, 6.0
"""Pixels."""


def tissue(side: int, rng: np.random.Generator) -> Float[np.ndarray, "side side"]:
    """Returns the greys of tissue: slow waves, and vessels, straight lines as bright as lesions are.

    Brightness alone does not tell a lesion: what is round is one, what is long is none.
    """
    y, x = np.mgrid[:side, :side]
    grey = np.full((side, side), 90.0)
    for turn, length, phase in rng.uniform((0, 12, 0), (np.pi, 40, 2 * np.pi), (_WAVES, 3)):
        along = (x * np.cos(turn) + y * np.sin(turn)) / length
        grey += 10 * np.cos(2 * np.pi * along + phase)
    for turn, place, width in rng.uniform((0, -0.4, 0.6), (np.pi, 0.4, 1.2), (_VESSELS, 3)):
        across = (x - side / 2) * np.cos(turn) + (y - side / 2) * np.sin(turn)
        grey[np.abs(across - place * side) < width] += LESION_GREY
    return grey


def spot(rng: np.random.Generator) -> Bool[np.ndarray, "Y X"]:
    """Returns the pixels of a lesion: a disc with an uneven rim.

    >>> drawn = spot(np.random.default_rng(0))
    >>> bool(drawn[drawn.shape[0] // 2, drawn.shape[1] // 2])
    True
    """
    radius, phase = rng.uniform(*_RADII), rng.uniform(0, 2 * np.pi)
    lobes, uneven = int(rng.integers(2, 5)), rng.uniform(0.1, 0.25)
    reach = int(np.ceil(radius * (1 + uneven)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    rim = radius * (1 + uneven * np.sin(lobes * np.arctan2(y, x) + phase))
    inside: np.ndarray = np.hypot(y, x) <= rim
    return inside
