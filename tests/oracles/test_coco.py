"""COCO's average precision, beside faster-coco-eval."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from attnjax.tasks.metrics import detection
from attnjax.tasks.metrics.detection import Boxes, coco_score

coco = pytest.importorskip("faster_coco_eval")
SIDE, LABELS = 80, 4


def drawn(seed: int) -> tuple[list[Boxes], list[Boxes]]:
    """True boxes, and found ones: each twice, moved more and less, and a few that are nowhere."""
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(40):
        count, wrong = rng.integers(0, 6), rng.integers(0, 4)
        low = rng.uniform(0, 40, (count, 2))
        boxes = np.concatenate([low, low + rng.uniform(15, 30, (count, 2))], axis=1)
        labels = rng.integers(0, LABELS, count)
        truth.append(Boxes(labels, boxes))
        nowhere = np.tile(rng.uniform(0, 40, (wrong, 2)), 2) + np.array([0, 0, 8, 8])
        near, far = (boxes + scale * rng.normal(size=boxes.shape) for scale in (1, 2))
        own = np.concatenate([labels, labels, rng.integers(0, LABELS, wrong)])
        found.append(Boxes(own, np.concatenate([near, far, nowhere]), rng.uniform(size=len(own))))
    return found, truth


def theirs(found: list[Boxes], truth: list[Boxes]) -> dict[str, float]:
    """AP, AP50, AP75 and AR as faster-coco-eval counts them."""

    def entries(images: list[Boxes]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for image, one in enumerate(images):
            for row, (label, box) in enumerate(zip(one.labels, one.boxes, strict=True)):
                bbox = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
                entry = {"id": len(made) + 1, "image_id": image, "category_id": int(label), "bbox": bbox}
                entry |= {"area": bbox[2] * bbox[3], "iscrowd": 0}
                made.append(entry | ({"score": float(one.scores[row])} if len(one.scores) else {}))
        return made

    content = {
        "images": [{"id": image, "width": SIDE, "height": SIDE} for image in range(len(truth))],
        "categories": [{"id": label, "name": str(label)} for label in range(LABELS)],
        "annotations": entries(truth),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        right = coco.COCO(content)
        asked = coco.COCOeval_faster(right, right.loadRes(entries(found)), "bbox")
        asked.evaluate()
        asked.accumulate()
        asked.summarize()
    names = {"AP": 0, "AP50": 1, "AP75": 2, "AR": 8}
    return {name: 100 * float(asked.stats[place]) for name, place in names.items()}


@pytest.mark.parametrize("seed", [0, 1])
def test_average_precision_is_that_of_faster_coco_eval(seed: int) -> None:
    found, truth = drawn(seed)
    expected = theirs(found, truth)
    assert 20 < expected["AP"] < 80
    assert coco_score(found, truth) == pytest.approx(expected, rel=1e-9)


def test_the_comparison_sees_recalls_read_one_place_too_far(monkeypatch: pytest.MonkeyPatch) -> None:
    found, truth = drawn(0)
    expected = theirs(found, truth)
    monkeypatch.setattr(detection, "RECALLS", np.linspace(0.01, 1.01, 101))
    assert coco_score(found, truth)["AP"] != pytest.approx(expected["AP"], abs=1e-3)
