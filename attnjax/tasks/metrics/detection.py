"""Average precision of found boxes, as COCO counts it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Intersections over union from which on a box counts as found."""
RECALLS = np.linspace(0, 1, 101)
"""At which the precision is read."""
MOST = 100
"""Boxes of an image and a label that count, those of the highest scores."""


class Boxes(NamedTuple):
    """The objects of one image.

    Attributes:
      labels: of each.
      boxes: left, top, right and bottom of each.
      scores: of each; empty for true ones.
    """

    labels: Int[np.ndarray, " n"]
    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, " n"] = np.zeros(0)


def overlaps(first: Float[np.ndarray, "n 4"], second: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Returns the intersection over union of each pair of boxes.

    >>> overlaps(np.array([[0, 0, 2, 2.0]]), np.array([[1, 0, 3, 2.0], [5, 5, 6, 6]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared
    return shared / np.maximum(union, np.finfo(float).tiny)


def coco_score(found: Sequence[Boxes], truth: Sequence[Boxes]) -> dict[str, float]:
    """Returns AP, AP50, AP75 and AR in percent, as COCO's server has them for boxes of all sizes.

    For each label and threshold a found box, in the order of scores, takes the true box of its image that it
    overlaps most of those that are left. AP is the mean over labels and the thresholds 0.5, 0.55 … 0.95 of
    the precision at 101 recalls, each the best at that recall or above; AR that of the highest recall.
    Crowds, which COCO neither counts nor punishes, are no part of it.

    Args:
      found: of each image.
      truth: of the same images.

    References:
      Lin et al., Microsoft COCO: Common Objects in Context, 2014, arXiv:1405.0312.

    Example:
      >>> right = Boxes(np.array([0]), np.array([[0, 0, 10, 10.0]]))
      >>> near = Boxes(np.array([0]), np.array([[0, 0, 10, 8.0]]), np.array([0.9]))
      >>> {name: round(value, 3) for name, value in coco_score([near], [right]).items()}
      {'AP': 70.0, 'AP50': 100.0, 'AP75': 100.0, 'AR': 70.0}
    """
    labels = sorted({int(label) for one in truth for label in one.labels})
    curves = [_of_label(label, found, truth) for label in labels]
    if not curves:
        return {"AP": float("nan"), "AP50": float("nan"), "AP75": float("nan"), "AR": float("nan")}
    precision, recall = (np.stack(parts) for parts in zip(*curves, strict=True))
    by_threshold = 100 * precision.mean((0, 2))
    return {
        "AP": float(by_threshold.mean()),
        "AP50": float(by_threshold[0]),
        "AP75": float(by_threshold[5]),
        "AR": 100 * float(recall.mean()),
    }


def _of_label(label: int, found: Sequence[Boxes], truth: Sequence[Boxes]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the precision at each threshold and recall [T, R], and the highest recalls [T]."""
    scores, hits, count = [], [], 0
    for own, right in zip(found, truth, strict=True):
        chosen = np.flatnonzero(own.labels == label)
        chosen = chosen[np.argsort(-own.scores[chosen], kind="stable")][:MOST]
        true = right.boxes[right.labels == label]
        count += len(true)
        scores.append(own.scores[chosen])
        hits.append(_hits(overlaps(own.boxes[chosen], true)))
    joined = np.concatenate(scores)
    order = np.argsort(-joined, kind="stable")
    right_ones = np.concatenate(hits, axis=1)[:, order].cumsum(1)
    if not joined.size:
        return np.zeros((len(THRESHOLDS), len(RECALLS))), np.zeros(len(THRESHOLDS))
    recall = right_ones / count
    precision = right_ones / np.arange(1, joined.size + 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    read = np.zeros((len(THRESHOLDS), len(RECALLS)))
    for row, reached, line in zip(read, recall, best, strict=True):
        places = np.searchsorted(reached, RECALLS, side="left")
        row[places < joined.size] = line[places[places < joined.size]]
    return read, recall[:, -1]


def _hits(shared: Float[np.ndarray, "n m"]) -> np.ndarray:
    """Returns for each threshold which of the found boxes, in this order, take a true one [T, n]."""
    hits = np.zeros((len(THRESHOLDS), len(shared)), bool)
    for row, least in zip(hits, THRESHOLDS, strict=True):
        left = shared.copy()
        for number, own in enumerate(left):
            if own.size and own.max() >= least - 1e-10:
                row[number] = True
                left[:, own.argmax()] = -1
    return hits
