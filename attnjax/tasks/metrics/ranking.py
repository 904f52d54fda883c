"""Metrics of one right item in a ranking of all others, the seen ones left out.

They are means over users. A target that ties with others stands at each of their places with one probability,
so a ranking that cannot tell items apart scores what a random one does.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

K = 10
"""The length of the list that is shown."""


class TargetPlaces(NamedTuple):
    """The places of targets: `above` items score more, `tied` others as much.

    `best` are the lists shown, `others` the number of items that were ranked beside the target.
    """

    above: Int[np.ndarray, " n"]
    tied: Int[np.ndarray, " n"]
    best: Int[np.ndarray, "n k"]
    others: Int[np.ndarray, " n"]


def ranking_metrics(places: TargetPlaces, items: int) -> dict[str, float]:
    """Returns HR@10 (the share of targets in the list), NDCG@10, MRR of the whole ranking, AUC and coverage.

    AUC is the share of the other items that score less than the target, coverage the share of all items that
    stand in any list.

    Args:
      places: of the targets; a target that is left out of its ranking has `items` above it.
      items: the number of items.

    References:
      Zhao et al., RecBole: Towards a Unified, Comprehensive and Efficient Framework for Recommendation
      Algorithms, 2020, arXiv:2011.01731 (the definitions, here without ties).

    Example:
      >>> places = TargetPlaces(np.array([0, 1]), np.array([0, 0]), np.array([[4], [4]]), np.array([4, 4]))
      >>> ranking_metrics(places, 8)
      {'HR@10': 1.0, 'NDCG@10': 0.8155, 'MRR': 0.75, 'AUC': 0.875, 'coverage@10': 0.125}
    """
    above, tied = places.above.astype(np.int64), places.tied.astype(np.int64)
    place = np.arange(1, items + 1)
    sums = {
        "HR@10": np.cumsum(place <= K),
        f"NDCG@{K}": np.cumsum(np.where(place <= K, 1 / np.log2(place + 1), 0)),
        "MRR": np.cumsum(1 / place),
    }
    found = {}
    left_out = above >= items
    for name, total in sums.items():
        total = np.concatenate([[0.0], total])
        first, last = np.minimum(above, items), np.minimum(above + tied + 1, items)
        gains = (total[last] - total[first]) / (tied + 1)
        found[name] = round(float(np.where(left_out, 0, gains).mean()), 4)
    below = 1 - (above + tied / 2) / np.maximum(places.others, 1)
    found["AUC"] = round(float(np.where(left_out, 0, below).mean()), 4)
    found["coverage@10"] = round(len(np.unique(places.best)) / items, 4)
    return found


def places_of(
    scores: Float[np.ndarray, "n I"], targets: Int[np.ndarray, " n"], excluded: list[np.ndarray]
) -> TargetPlaces:
    """Returns the places of targets in whole rows of scores.

    Args:
      scores: of all items; they are not changed.
      targets: the right items.
      excluded: the items of each row that are not ranked.

    Example:
      >>> places_of(np.array([[3.0, 1, 1, 0]]), np.array([2]), [np.array([0])])[:2]
      (array([0]), array([1]))
    """
    items = scores.shape[1]
    scores = np.array(scores)
    for row, seen in zip(scores, excluded, strict=True):
        row[seen] = -np.inf
    own = scores[np.arange(len(scores)), targets][:, None]
    left_out = np.isneginf(own[:, 0])
    above, tied = (scores > own).sum(1), (scores == own).sum(1) - 1
    k = min(K, items)
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    others = np.isfinite(scores).sum(1) - ~left_out
    return TargetPlaces(np.where(left_out, items, above), np.where(left_out, 0, tied), best, others)
