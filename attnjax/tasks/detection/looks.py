"""What queries attend to: do they look into the box that they name, and does it matter?"""

import numpy as np
from jaxtyping import Bool, Float

HIDDEN_CELLS = 8
"""Cells that are hidden from the model, to see what its answer loses."""


def cell_shares(boxes: Float[np.ndarray, "n 4"], height: int, width: int) -> Float[np.ndarray, "n P"]:
    """Returns the share of each cell of a grid, row by row, that lies in boxes by left, top, right, bottom.

    >>> cell_shares(np.array([[0.25, 0.0, 1.0, 0.5]]), 2, 2).tolist()
    [[0.5, 1.0, 0.0, 0.0]]
    """
    across, down = (
        np.clip(
            np.minimum(boxes[:, high, None] * size, np.arange(size) + 1)
            - np.maximum(boxes[:, low, None] * size, np.arange(size)),
            0,
            1,
        )
        for low, high, size in ((0, 2, width), (1, 3, height))
    )
    shares: np.ndarray = (down[:, :, None] * across[:, None, :]).reshape(len(boxes), -1)
    return shares


def looks_score(
    weights: Float[np.ndarray, "n P"], boxes: Float[np.ndarray, "n 4"], height: int, width: int
) -> dict[str, float]:
    """Returns in percent how much of the weights lies in the true box, and how often the greatest does.

    Chance is what even weights would have there: the share of the image that the boxes take, and for the
    greatest that of the cells which lie in the box by half or more.

    Args:
      weights: of each query over the cells; they sum to 1.
      boxes: left, top, right and bottom of the object of each query.
      height: rows of cells.
      width: columns of cells.

    Example:
      >>> found = looks_score(np.array([[0.5, 0.25, 0.25, 0]]), np.array([[0, 0, 0.5, 0.5]]), 2, 2)
      >>> found["weight in the box %"], found["by chance %"], found["top cell in the box %"]
      (50.0, 25.0, 100.0)
    """
    shares = cell_shares(boxes, height, width)
    inside = shares >= 0.5
    top = np.take_along_axis(inside, weights.argmax(1)[:, None], axis=1)
    return {
        "weight in the box %": 100 * float((weights * shares).sum(1).mean()),
        "by chance %": 100 * float(shares.mean()),
        "top cell in the box %": 100 * float(top.mean()),
        "top cell by chance %": 100 * float(inside.mean()),
        "objects": float(len(weights)),
    }


def hidden(
    images: Float[np.ndarray, "n Y X C"], scores: Float[np.ndarray, "n P"], height: int, width: int
) -> Float[np.ndarray, "n Y X C"]:
    """Returns images whose `HIDDEN_CELLS` cells of the highest scores have the median colour of the image."""
    rows = np.arange(len(images))[:, None]
    chosen = np.zeros(scores.shape, bool)
    chosen[rows, np.argsort(-scores, axis=1, kind="stable")[:, :HIDDEN_CELLS]] = True
    covered: Bool[np.ndarray, "n Y X"] = _as_pixels(chosen.reshape(-1, height, width), images.shape[1:3])
    middle = np.median(images, axis=(1, 2), keepdims=True)
    return np.where(covered[..., None], middle, images)


def _as_pixels(cells: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    rows, columns = (np.arange(new) * old // new for new, old in zip(sides, cells.shape[1:], strict=True))
    return cells[:, rows[:, None], columns[None]]
