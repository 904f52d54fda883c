"""Drawn objects on a canvas, each with its label and its box."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from attnjax.data.images.config import DetectionData
from attnjax.data.images.mosaics import stencils
from attnjax.data.images.scenes import COLOURS, NUMBERS, SHAPES, stencil
from attnjax.data.images.tissue import LESION, LESION_GREY, spot, tissue

SMALLEST, LARGEST = 8, 16
"""Pixels of a side of a shape."""
_ENLARGED = 2, 3
"""Times that a digit of 3 × 5 pixels is enlarged."""
_DARKEST = 60
"""The greatest grey of a canvas."""
_TRIES = 30
"""Places that are tried for an object before it is left out, since no two overlap."""


class Objects(NamedTuple):
    """Images of one size and the objects in them; behind those of an image stand empty places.

    Attributes:
      images: pixels, 0 to 255.
      labels: of the objects, 0 for an empty place.
      boxes: the centre's x and y, width and height, in shares of the image.
      present: False for an empty place.
      owner: for each pixel the number of the object that it shows, from 1, or in whose box it lies where no
        more is known; 0 for none.
    """

    images: UInt8[np.ndarray, "n Y X C"]
    labels: Int32[np.ndarray, "n N"]
    boxes: Float32[np.ndarray, "n N 4"]
    present: Bool[np.ndarray, "n N"]
    owner: UInt8[np.ndarray, "n Y X"]


def names_of(data: DetectionData) -> tuple[str, ...]:
    """Returns the names of the labels that are drawn."""
    return {"shapes": SHAPES, "digits": NUMBERS, "lesions": (LESION,)}[data.kind]


def drawn_objects(
    data: DetectionData,
    count: int,
    rng: np.random.Generator,
    *,
    least: int | None = None,
    most: int | None = None,
) -> Objects:
    """Returns images of objects, none of which overlap: in one of four colours on a dark canvas, or spots.

    Args:
      data: the kind, the side and the noise.
      count: of images.
      rng: decides everything.
      least: objects of an image that are begun with; one for which no place is found is left out. None: one,
        or of lesions none.
      most: of them; None: those of the data.

    Example:
      >>> made = drawn_objects(DetectionData(), 2, np.random.default_rng(0))
      >>> made.images.shape, made.boxes.shape, made.present.sum(1).tolist()
      ((2, 32, 32, 3), (2, 3, 4), [2, 1])
    """
    most, side, spots = most or data.objects, data.side, data.kind == "lesions"
    least = (0 if spots else 1) if least is None else least
    grey = rng.integers(0, _DARKEST, (count, 1, 1, 1))
    images = np.broadcast_to(grey, (count, side, side, 3)).astype(np.float32)
    owner = np.zeros((count, side, side), np.uint8)
    labels, boxes = np.zeros((count, most), np.int32), np.zeros((count, most, 4), np.float32)
    present = np.zeros((count, most), bool)
    colours = list(COLOURS.values())
    for row, image in enumerate(images):
        taken = np.zeros((side, side), bool)
        if spots:
            image[:] = tissue(side, rng)[..., None]
        for place in range(int(rng.integers(least, most + 1))):
            label = int(rng.integers(len(names_of(data))))
            thing = _pixels(data, label, rng)
            colour = colours[rng.integers(len(colours))]
            corner = _free(taken, thing.shape, rng)
            if corner is None:
                continue
            box = tuple(slice(at, at + size) for at, size in zip(corner, thing.shape, strict=True))
            image[box][thing] = image[box][thing] + LESION_GREY if spots else colour
            owner[row][box][thing] = place + 1
            taken[box] = True
            labels[row, place], present[row, place] = label, True
            (top, left), (height, width) = corner, thing.shape
            boxes[row, place] = np.array([left + width / 2, top + height / 2, width, height]) / side
    images += 255 * data.noise * rng.standard_normal(images.shape, np.float32)
    return Objects(np.clip(np.rint(images), 0, 255).astype(np.uint8), labels, boxes, present, owner)


def _pixels(data: DetectionData, label: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the pixels of a thing, each side of which touches one."""
    if data.kind == "lesions":
        drawn = spot(rng)
    elif data.kind == "digits":
        times = int(rng.integers(_ENLARGED[0], _ENLARGED[1] + 1))
        drawn = np.kron(stencils()[label], np.ones((times, times))) > 0
    else:
        drawn = stencil(SHAPES[label], int(rng.integers(SMALLEST, LARGEST + 1)))
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    return drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _free(taken: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int] | None:
    """Returns the corner of a place of this shape that nothing has; None where none was found."""
    free = [whole - own + 1 for whole, own in zip(taken.shape, shape, strict=True)]
    for top, left in rng.integers(0, free, (_TRIES, 2)).tolist():
        if not taken[top : top + shape[0], left : left + shape[1]].any():
            return top, left
    return None
