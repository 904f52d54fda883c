"""Mosaics of digits: which digit stands beside the mark?"""

import numpy as np
from jaxtyping import Float32

from attnjax.data.images.config import CELL, MosaicData
from attnjax.data.synthetic.questions import AS_TRAINED, Arrays, Split

MARK = 10
WIDER = "two columns more"
_DIGITS = (
    ("###", "#.#", "#.#", "#.#", "###"),
    (".#.", "##.", ".#.", ".#.", "###"),
    ("###", "..#", "###", "#..", "###"),
    ("###", "..#", ".##", "..#", "###"),
    ("#.#", "#.#", "###", "..#", "..#"),
    ("###", "#..", "###", "..#", "###"),
    ("###", "#..", "###", "#.#", "###"),
    ("###", "..#", ".#.", ".#.", ".#."),
    ("###", "#.#", "###", "#.#", "###"),
    ("###", "#.#", "###", "..#", "###"),
    (".#.", "###", "###", "###", ".#."),
)
"""The digits and, after them, the mark, of 3 × 5 pixels."""


class Mosaics:
    """Digits in cells of 6 × 6 pixels, each one pixel off here and there, and one mark among them.

    The answer is the digit that stands `apart` cells to the right of the mark. All digits are drawn evenly:
    who does not know what is beside what guesses. In the second setting images have two columns more.

    >>> data = Mosaics(MosaicData(rows=1, columns=3, noise=0.0))
    >>> made = data.rows(2, np.random.default_rng(0))
    >>> made["images"].shape, made["answers"].tolist()
    ((2, 6, 18, 1), [6, 3])
    >>> for row in made["images"][0, :, :, 0]:
    ...     print("".join("#" if pixel else "·" for pixel in row))
    ···#··············
    ··###···###···###·
    ··###···#·····#···
    ··###···###···###·
    ···#····#·#·····#·
    ········###···###·
    """

    settings = (AS_TRAINED, WIDER)
    labels = 10

    def __init__(self, config: MosaicData) -> None:
        self.config = config

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns "images" [count, Y, X, 1] and "answers" [count], int32."""
        made = self.planted(count, rng, setting)
        return {name: made[name] for name in ("images", "answers")}

    def planted(self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED) -> Arrays:
        """Returns the same with the "rationale" [count, cells], True for the mark's and the digit's."""
        config = self.config
        columns = config.columns + (2 if setting == WIDER else 0)
        shape = (count, config.rows, columns)
        kinds = rng.integers(0, MARK, shape)
        row, column = rng.integers(0, config.rows, count), rng.integers(0, columns - config.apart, count)
        each = np.arange(count)
        answers = kinds[each, row, column + config.apart].astype(np.int32)
        kinds[each, row, column] = MARK
        images = _drawn(kinds, rng.integers(0, 2, (*shape, 2)))
        images += config.noise * rng.standard_normal(images.shape, np.float32)
        rationale = np.zeros(shape, bool)
        rationale[each, row, column] = rationale[each, row, column + config.apart] = True
        return {
            "images": images[..., None],
            "answers": answers,
            "rationale": rationale.reshape(count, config.rows * columns),
        }


def stencils() -> Float32[np.ndarray, "11 5 3"]:
    """Returns the pixels of the digits and the mark, 0 or 1."""
    return np.array([[[pixel == "#" for pixel in row] for row in digit] for digit in _DIGITS], np.float32)


def _drawn(kinds: np.ndarray, off: np.ndarray) -> Float32[np.ndarray, "n Y X"]:
    """Returns the images of these kinds in cells, each so many rows and columns off its corner."""
    drawn = stencils()
    count, rows, columns = kinds.shape
    cells = np.zeros((count, rows, columns, CELL, CELL), np.float32)
    for down in (0, 1):
        for right in (0, 1):
            here = (off == (down, right)).all(-1)
            cells[here, down : down + 5, right + 1 : right + 4] = drawn[kinds[here]]
    return np.swapaxes(cells, 2, 3).reshape(count, rows * CELL, columns * CELL)
