"""Scores of numbers of molecules, and of what says which atoms a number comes from."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from attnjax.data.molecules.molecule import Arrays


def values_score(given: Float[np.ndarray, " n"], right: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Returns the root mean square error, the mean absolute error and R², the share of the variance told.

    Example:
      >>> scores = values_score(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
      >>> round(scores["RMSE"], 3), round(scores["R²"], 3)
      (0.577, 0.5)
    """
    off = given - right
    variance = float(np.mean((right - right.mean()) ** 2))
    return {
        "RMSE": float(np.sqrt(np.mean(off**2))),
        "MAE": float(np.mean(np.abs(off))),
        "R²": 1 - float(np.mean(off**2)) / variance if variance else float("nan"),
        "molecules": float(len(right)),
    }


def without(arrays: Arrays, kept: Bool[np.ndarray, "n V"]) -> Arrays:
    """Returns molecules without some of their atoms, and without the bonds of these.

    What the other atoms hold stays as it was in the whole molecule.

    Args:
      arrays: as `padded` gives them.
      kept: the atoms that stay; padding does not count.

    Example:
      >>> arrays = {
      ...     "atoms": np.array([[[1.0], [2.0], [3.0]]]),
      ...     "edges": np.array([[[0, 1, 1, 2], [1, 0, 2, 1]]]),
      ...     "bonds": np.ones((1, 4, 1)),
      ...     "lengths": np.array([3]),
      ... }
      >>> found = without(arrays, np.array([[False, True, True]]))
      >>> found["atoms"].ravel().tolist(), found["edges"][0].tolist(), found["lengths"].tolist()
      ([2.0, 3.0, 0.0], [[-1, -1, 0, 1], [-1, -1, 1, 0]], [2])
    """
    count, atoms = kept.shape
    kept = kept & (np.arange(atoms) < arrays["lengths"][:, None])
    order = np.argsort(~kept, axis=1, kind="stable")
    places = np.where(kept, np.argsort(order, axis=1), -1)
    edges, rows = arrays["edges"], np.arange(count)[:, None, None]
    moved = np.where(edges >= 0, places[rows, edges], -1)
    whole: Bool[np.ndarray, "n E"] = np.all(moved >= 0, axis=1)
    held = np.take_along_axis(kept, order, axis=1)
    return {
        "atoms": np.take_along_axis(arrays["atoms"], order[..., None], axis=1) * held[..., None],
        "edges": np.where(whole[:, None], moved, -1).astype(np.int32),
        "bonds": arrays["bonds"] * whole[..., None],
        "lengths": kept.sum(1).astype(np.int32),
    }


def deletion_score(
    predict: Callable[[Arrays], Float[np.ndarray, " n"]], arrays: Arrays, scores: Float[np.ndarray, "n V"]
) -> dict[str, float]:
    """Returns how far a prediction falls and rises as atoms are taken out in the order of scores.

    It is the mean over molecules and over 1, 2, … atoms that are gone, one at least staying: the prediction
    of the whole less that of the rest, from the highest score on ("falls"), and its negative from the
    lowest on ("rises"). "gap" is the sum of both, 0 of a random order: how much more is lost with the atoms
    that are said to raise the number than with those that are said to lower it.

    Args:
      predict: the number of each molecule.
      arrays: as `padded` gives them; molecules of one atom do not count.
      scores: of the atoms, higher where they are said to raise the number.
    """
    atoms = scores.shape[1]
    there = np.arange(atoms) < arrays["lengths"][:, None]
    ranks = np.argsort(np.argsort(np.where(there, -scores, np.inf), axis=1, kind="stable"), axis=1)
    falls = _mean_loss(predict, arrays, ranks)
    rises = -_mean_loss(predict, arrays, np.where(there, arrays["lengths"][:, None] - 1 - ranks, ranks))
    return {"falls": falls, "rises": rises, "gap": falls + rises}


def _mean_loss(
    predict: Callable[[Arrays], Float[np.ndarray, " n"]], arrays: Arrays, ranks: Int[np.ndarray, "n V"]
) -> float:
    counts, whole = arrays["lengths"], predict(arrays)
    losses = np.zeros((max(counts.max() - 1, 1), len(counts)))
    for gone in range(1, counts.max()):
        # A molecule that has no more atoms stays whole, and does not count.
        stay = (counts <= gone)[:, None]
        losses[gone - 1] = whole - predict(without(arrays, stay | (ranks >= gone)))
    lost = losses.sum(0)[counts > 1] / (counts[counts > 1] - 1)
    return float(lost.mean()) if len(lost) else float("nan")
