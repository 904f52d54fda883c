"""Answers of detectors as boxes with labels and scores."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from attnjax.data.images.objects import Objects
from attnjax.tasks.base import Arrays
from attnjax.tasks.detection.boxes import corners
from attnjax.tasks.metrics.binary import auroc
from attnjax.tasks.metrics.detection import Boxes, coco_score, overlaps

DOUBLE = 0.5
"""The intersection over union from which on two boxes of a grid are taken for one object."""
GRID_SCORE = 0.01
"""The least score of a box of a grid."""


def boxes_of(logits: Float[np.ndarray, "B Q L+1"], boxes: Float[np.ndarray, "B Q 4"]) -> list[Boxes]:
    """Returns for each query its likeliest label other than the last, the probability of it, and its box."""
    logits = logits.astype(np.float64)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares = (shares / shares.sum(-1, keepdims=True))[..., :-1]
    return [
        Boxes(own.argmax(-1), corners(box.astype(np.float64)), own.max(-1))
        for own, box in zip(shares, boxes, strict=True)
    ]


def true_boxes(part: Objects) -> list[Boxes]:
    """Returns the objects of each image."""
    return [
        Boxes(labels[there], corners(boxes[there].astype(np.float64)))
        for labels, boxes, there in zip(part.labels, part.boxes, part.present, strict=True)
    ]


def scores_of(found: Sequence[Boxes], part: Objects) -> dict[str, float]:
    """Returns `coco_score` of what was found in images, and their numbers.

    Where some images have no object there is "AUROC any" too: of the highest score, for whether it
    has one.
    """
    scores = coco_score(found, true_boxes(part))
    there = np.asarray(part.present.any(1))
    if there.any() and not there.all():
        highest = np.array([one.scores.max(initial=0) for one in found])
        scores["AUROC any"] = auroc(highest, there)
    return scores | {"images": float(len(part.images)), "objects": float(part.present.sum())}


def suppressed(found: Boxes) -> Boxes:
    """Returns the boxes without those that overlap one of a higher score and the same label.

    >>> near = np.array([[0, 0, 4, 4.0], [0, 0, 4, 5], [9, 9, 10, 10]])
    >>> suppressed(Boxes(np.array([1, 1, 1]), near, np.array([0.5, 0.9, 0.2]))).scores.tolist()
    [0.9, 0.2]
    """
    order = np.argsort(-found.scores, kind="stable")
    order = order[found.scores[order] >= GRID_SCORE]
    shared = overlaps(found.boxes[order], found.boxes[order])
    same = found.labels[order][:, None] == found.labels[order]
    kept: list[int] = []
    for number in range(len(order)):
        if not (same[number, kept] & (shared[number, kept] > DOUBLE)).any():
            kept.append(number)
    chosen = order[kept]
    return Boxes(found.labels[chosen], found.boxes[chosen], found.scores[chosen])


def mean_boxes(batch: Arrays, count: int) -> list[Boxes]:
    """Returns the same answer for so many images: the mean box of each label of a batch."""
    there = batch["present"]
    labels, boxes = batch["labels"][there], batch["boxes"][there].astype(np.float64)
    known, often = np.unique(labels, return_counts=True)
    means = np.stack([corners(boxes[labels == label].mean(0)) for label in known])
    return [Boxes(known, means, often / len(labels))] * count
