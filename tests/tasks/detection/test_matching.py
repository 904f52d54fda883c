"""The assignment against SciPy's, the overlap of boxes by hand, the loss of a set by its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from attnjax.tasks.detection.boxes import corners, generalised_iou
from attnjax.tasks.detection.config import SetLossConfig
from attnjax.tasks.detection.losses import SetLoss, TrueObjects, matched, set_loss
from attnjax.tasks.detection.matching import assigned

ASSIGNED = jax.jit(jax.vmap(assigned))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 8), (6, 6)])
@pytest.mark.parametrize("ties", [False, True])
def test_the_assignment_costs_what_that_of_scipy_does(rows: int, columns: int, ties: bool) -> None:
    costs = np.random.default_rng(rows).normal(size=(64, rows, columns)).astype(np.float32)
    costs = np.rint(costs) if ties else costs
    for own, found in zip(costs, np.asarray(ASSIGNED(costs)), strict=True):
        right = linear_sum_assignment(own)
        assert len(set(found.tolist())) == rows
        assert own[np.arange(rows), found].sum() == pytest.approx(own[right].sum(), abs=1e-5)
        if not ties:
            assert found.tolist() == right[1].tolist()


def test_rows_of_padding_change_nothing_and_what_is_no_number_ends() -> None:
    costs = np.random.default_rng(0).normal(size=(64, 2, 5)).astype(np.float32)
    wide = np.concatenate([costs[:, :1], np.zeros((64, 2, 5), np.float32), costs[:, 1:]], axis=1)
    found, alone = np.asarray(ASSIGNED(wide)), np.asarray(ASSIGNED(costs))
    np.testing.assert_array_equal(found[:, [0, 3]], alone)
    assert sorted(np.asarray(ASSIGNED(jnp.full((1, 3, 3), jnp.nan)))[0].tolist()) == [0, 1, 2]
    with pytest.raises(ValueError, match=r"costs \[3, 2\] \(N, Q\): expected no more rows than columns"):
        assigned(jnp.zeros((3, 2)))


def test_the_generalised_overlap_by_hand() -> None:
    overlap, box = jax.jit(jax.value_and_grad(generalised_iou)), jnp.array([0.2, 0.2, 0.2, 0.2])
    cases = {
        (0.2, 0.2, 0.2, 0.2): 1.0,
        (0.3, 0.2, 0.2, 0.2): 0.02 / 0.06,
        (0.2, 0.3, 0.2, 0.4): 0.5,
        (0.6, 0.2, 0.2, 0.2): -(0.12 - 0.08) / 0.12,
        (0.6, 0.6, 0.2, 0.2): -(0.36 - 0.08) / 0.36,
    }
    for other, expected in cases.items():
        left, top, right, bottom = corners(np.array(other))
        assert (left, right) == pytest.approx((other[0] - other[2] / 2, other[0] + other[2] / 2))
        assert (top, bottom) == pytest.approx((other[1] - other[3] / 2, other[1] + other[3] / 2))
        assert float(overlap(box, jnp.array(other))[0]) == pytest.approx(expected, abs=1e-5)
        assert float(overlap(jnp.array(other), box)[0]) == pytest.approx(expected, abs=1e-5)
    assert overlap(box, jnp.array([0.6, 0.2, 0.2, 0.2]))[1][0] > 0
    nowhere = jnp.zeros(4)
    assert np.isfinite(np.asarray(overlap(nowhere, nowhere)[1])).all()


IMAGES, QUERIES, PLACES, LABELS = 16, 5, 3, 3


def answers(seed: int = 0) -> tuple[jax.Array, jax.Array, TrueObjects]:
    """Answers of five queries to images with up to three objects; empty places hold boxes too."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(IMAGES, QUERIES, LABELS + 1))
    boxes, right = (rng.uniform(0.2, 0.6, (IMAGES, many, 4)) for many in (QUERIES, PLACES))
    present = np.arange(PLACES) < rng.integers(0, PLACES + 1, (IMAGES, 1))
    labels = np.where(present, rng.integers(0, LABELS, present.shape), 0)
    truth = TrueObjects(*map(jnp.asarray, (labels, right, present)))
    return jnp.asarray(logits, jnp.float32), jnp.asarray(boxes, jnp.float32), truth


def test_the_matching_and_the_loss_by_their_formulas() -> None:
    logits, boxes, truth = answers()
    config = SetLossConfig(l1=1.0, giou=1.5, nothing=0.2)
    found, queries = jax.jit(lambda *given: _loss(*given, truth, config))(logits, boxes)
    log_p = np.asarray(jax.nn.log_softmax(logits), np.float64)
    far = np.abs(np.asarray(boxes)[:, None] - np.asarray(truth.boxes)[:, :, None]).sum(-1)
    shared = np.asarray(jax.jit(generalised_iou)(boxes[:, None], truth.boxes[:, :, None]))
    label = l1 = giou = 0.0
    for image in range(IMAGES):
        count = int(truth.present[image].sum())
        labels = np.asarray(truth.labels)[image, :count]
        costs = far[image, :count] - 1.5 * shared[image, :count] - np.exp(log_p[image, :, labels])
        own = linear_sum_assignment(costs)[1]
        assert np.asarray(queries)[image, :count].tolist() == own.tolist()
        others = np.setdiff1d(np.arange(QUERIES), own)
        label -= log_p[image, own, labels].sum() + 0.2 * log_p[image, others, LABELS].sum()
        l1 += far[image, np.arange(count), own].sum()
        giou += (1 - shared[image, np.arange(count), own]).sum()
    expected = np.array([label, l1, giou]) / IMAGES
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(found.total(config), expected @ [1, 1, 1.5], rtol=1e-5)


def _loss(
    logits: jax.Array, boxes: jax.Array, truth: TrueObjects, config: SetLossConfig
) -> tuple[SetLoss, jax.Array]:
    queries = matched(logits, boxes, truth, config)
    return set_loss(logits, boxes, truth, queries, config), queries


def test_the_order_of_objects_and_of_queries_changes_nothing() -> None:
    logits, boxes, truth = answers(1)
    config = SetLossConfig()

    total = jax.jit(lambda *given: _loss(*given, config)[0].total(config))

    def loss(logits: jax.Array, boxes: jax.Array, truth: TrueObjects) -> float:
        return float(total(logits, boxes, truth))

    value = loss(logits, boxes, truth)
    turned = TrueObjects(*(array[:, ::-1] for array in truth))
    assert loss(logits, boxes, turned) == pytest.approx(value, rel=1e-6)
    order = np.array([3, 1, 4, 0, 2])
    assert loss(logits[:, order], boxes[:, order], truth) == pytest.approx(value, rel=1e-6)
