"""Average precision by hand; `tests/oracles/test_coco.py` compares with COCO's own program."""

import numpy as np
import pytest

from attnjax.tasks.metrics.detection import Boxes, coco_score

SQUARE = np.array([[0, 0, 10, 10.0]])


def found(*rows: tuple[int, float, float, float]) -> Boxes:
    """Boxes of 10 × 10 pixels, moved to the right: label, pixels, score."""
    labels, moved, scores = (np.array([row[i] for row in rows]) for i in range(3))
    return Boxes(labels, SQUARE + moved[:, None] * [1, 0, 1, 0], scores)


def test_a_second_box_for_an_object_is_wrong_and_costs_what_comes_below_it() -> None:
    truth = [Boxes(np.array([0]), SQUARE), Boxes(np.array([0]), SQUARE)]
    once = coco_score([found((0, 0, 0.9, 0)), found((0, 0, 0.7, 0))], truth)
    assert once == pytest.approx({"AP": 100, "AP50": 100, "AP75": 100, "AR": 100})
    twice = coco_score([found((0, 0, 0.9, 0), (0, 1, 0.8, 0)), found((0, 0, 0.7, 0))], truth)
    assert twice["AP50"] == pytest.approx(100 * (51 + 50 * 2 / 3) / 101)
    assert twice["AR"] == pytest.approx(100)
    late = coco_score([found((0, 0, 0.9, 0), (0, 1, 0.1, 0)), found((0, 0, 0.7, 0))], truth)
    assert late == once


def test_other_labels_and_missing_ones_count_as_labels() -> None:
    truth = [Boxes(np.array([0, 1]), np.repeat(SQUARE, 2, axis=0))]
    assert coco_score([found((0, 0, 0.9, 0))], truth)["AP"] == pytest.approx(50)
    assert coco_score([found((0, 0, 0.9, 0), (2, 0, 0.9, 0))], truth)["AP"] == pytest.approx(50)
    nothing = Boxes(np.zeros(0, int), np.zeros((0, 4)))
    assert coco_score([nothing], truth)["AP"] == 0
    assert np.isnan(coco_score([nothing], [nothing])["AP"])


def test_the_best_overlap_is_taken_first() -> None:
    truth = [Boxes(np.array([0, 0]), np.concatenate([SQUARE, SQUARE + np.array([3, 0, 3, 0])]))]
    # Both found boxes overlap both true ones; the first takes the nearer one and leaves the other.
    score = coco_score([found((0, 2, 0.9, 0), (0, 0, 0.8, 0))], truth)
    assert score["AP50"] == pytest.approx(100)
    assert score["AP75"] == pytest.approx(100)
