"""Scores of what queries attend to: whether it lies in the box that they name, and whether it matters."""

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


def cells_showing(pixels: Bool[np.ndarray, "n Y X"], height: int, width: int) -> Bool[np.ndarray, "n P"]:
    """Returns for each cell of a grid, row by row, whether one of its pixels is True.

    >>> cells_showing(np.array([[[True, False], [False, False], [False, False], [False, True]]]), 2, 1)
    array([[ True,  True]])
    """
    shown: np.ndarray = pixels
    for axis, cells in ((1, height), (2, width)):
        # A cell begins at the first pixel that `_as_pixels` gives to it.
        begins = -(-np.arange(cells) * pixels.shape[axis] // cells)
        shown = np.logical_or.reduceat(shown, begins, axis=axis)
    return shown.reshape(len(pixels), -1)


def looks_score(
    weights: Float[np.ndarray, "n P"], shares: Float[np.ndarray, "n P"], showing: Bool[np.ndarray, "n P"]
) -> dict[str, float]:
    """Returns in percent how much of the weights lies in the true box, and the pointing game.

    That is how often the cell with the greatest weight shows a pixel of the object. Chance is what even
    weights would have: the share of the image that the boxes take, and of the cells that show the object.

    Args:
      weights: of each query over the cells; they sum to 1.
      shares: of each cell that lie in the box of the query's object, as of `cell_shares`.
      showing: whether a cell shows it, as of `cells_showing`.

    References:
      Zhang et al., Top-down Neural Attention by Excitation Backprop, 2016, arXiv:1608.00507 (the game).

    Example:
      >>> shares = np.array([[1.0, 0, 0, 0]])
      >>> found = looks_score(np.array([[0.5, 0.25, 0.25, 0]]), shares, shares > 0)
      >>> found["weight in the box %"], found["by chance %"], found["pointing %"]
      (50.0, 25.0, 100.0)
    """
    top = np.take_along_axis(showing, weights.argmax(1)[:, None], axis=1)
    return {
        "weight in the box %": 100 * float((weights * shares).sum(1).mean()),
        "by chance %": 100 * float(shares.mean()),
        "pointing %": 100 * float(top.mean()),
        "pointing by chance %": 100 * float(showing.mean()),
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
