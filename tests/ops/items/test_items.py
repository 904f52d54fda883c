"""Losses and rankings of items against their formulas over whole rows, and what they hold in memory."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.ops.items import binary_loss, item_cross_entropy, rank_items, sampled_softmax_loss

N, V, D, ITEMS = 5, 13, 3, 11
RNG = np.random.default_rng(0)
STATES, TABLE = RNG.normal(size=(N, D)), RNG.normal(size=(V, D))
LABELS = np.array([0, 10, 4, 4, 7])


def whole_losses(states: Any, table: Any) -> Any:
    scores = states @ table[:ITEMS].T
    return np.log(np.exp(scores).sum(-1)) - scores[np.arange(N), LABELS]


@pytest.mark.parametrize("chunk", [4, 11, 100])
def test_the_loss_is_that_over_all_items_and_so_are_its_derivatives(chunk: int) -> None:
    with jax.enable_x64(True):
        weigh = np.arange(1.0, N + 1)

        def total(states: Any, table: Any) -> Any:
            losses = item_cross_entropy(states, table, jnp.asarray(LABELS), items=ITEMS, chunk=chunk)
            return (losses * weigh).sum(), losses

        (_, losses), gradients = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))(STATES, TABLE)
    np.testing.assert_allclose(losses, whole_losses(STATES, TABLE), atol=1e-12)
    scores = STATES @ TABLE[:ITEMS].T
    shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True) - np.eye(ITEMS)[LABELS]
    shares *= weigh[:, None]
    np.testing.assert_allclose(gradients[0], shares @ TABLE[:ITEMS], atol=1e-12)
    np.testing.assert_allclose(gradients[1][:ITEMS], shares.T @ STATES, atol=1e-12)
    assert not gradients[1][ITEMS:].any()


@pytest.mark.optimised
def test_the_loss_and_its_gradient_hold_less_than_a_twentieth_of_all_scores() -> None:
    places, items, size = 512, 20_000, 16
    shapes = [
        jax.ShapeDtypeStruct(shape, kind)
        for shape, kind in (
            ((places, size), jnp.float32),
            ((items, size), jnp.float32),
            ((places,), jnp.int32),
        )
    ]

    def loss(states: Any, table: Any, labels: Any) -> Any:
        return item_cross_entropy(states, table, labels, chunk=512).sum()

    memory: Any = jax.jit(jax.grad(loss, (0, 1))).lower(*shapes).compile().memory_analysis()
    assert memory.temp_size_in_bytes < places * items * 4 / 20


def test_sampled_losses_are_their_formulas() -> None:
    positive, negatives = RNG.normal(size=N), RNG.normal(size=(N, 4))
    hits = RNG.random((N, 4)) < 0.3
    items, t = 20, 0.75
    given = jnp.asarray(positive), jnp.asarray(negatives), jnp.asarray(hits)
    softmax = sampled_softmax_loss(*given, items=items)
    binary = binary_loss(*given, items=items, calibration=t)
    alpha = 4 / (items - 1)
    beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
    for i in range(N):
        others = [s for s, hit in zip(negatives[i], hits[i], strict=True) if not hit]
        own = np.exp(positive[i])
        total = own + sum(np.exp(s) * (items - 1) / 4 for s in others)
        np.testing.assert_allclose(softmax[i], -np.log(own / total), rtol=1e-5)
        against = sum(np.log(1 - 1 / (1 + np.exp(-s))) for s in others)
        expected = -(beta * np.log(1 / (1 + np.exp(-positive[i]))) + against) / 5
        np.testing.assert_allclose(binary[i], expected, rtol=1e-5)


@pytest.mark.parametrize("chunk", [64, 200, 999])
def test_the_ranking_is_that_of_all_scores_sorted(chunk: int) -> None:
    """With ties (rows of the table that are equal), what is excluded, and a target among that."""
    rng = np.random.default_rng(chunk)
    states, table = rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=(300, 4)).astype(np.float32)
    table[200:230] = table[17]
    targets = np.array([17, 210, 3, 299, 150, 0], np.int32)
    excluded = rng.integers(0, 290, (6, 20)).astype(np.int32)
    excluded[:, 15:] = -1
    excluded[excluded == targets[:, None]] = -1
    excluded[4, 3] = targets[4]

    def ranked(states: Any, table: Any, targets: Any, excluded: Any) -> Any:
        return rank_items(states, table, k=10, targets=targets, excluded=excluded, items=295, chunk=chunk)

    found = jax.jit(ranked)(states, table, np.minimum(targets, 294), excluded)
    for row in range(6):
        scores = (table[:295] @ states[row]).astype(np.float64)
        target = min(targets[row], 294)
        left_out = excluded[row][excluded[row] >= 0]
        scores[left_out] = -np.inf
        if row == 4:
            assert (found.above[row], found.tied[row]) == (295, 0)
        else:
            others = np.delete(scores, target)
            near = np.abs(others - scores[target]) < 1e-5
            assert (
                found.tied[row]
                == near.sum()
                == (30 - np.isin(range(200, 230), left_out).sum()) * (row == 0)
                + (31 - 1 - np.isin([17, *range(200, 230)], left_out).sum()) * (row == 1)
            )
            assert found.above[row] == (others[~near] > scores[target]).sum()
        best = np.sort(scores)[::-1][:10]
        np.testing.assert_allclose(found.scores[row], best, atol=1e-5)
        np.testing.assert_allclose(scores[found.items[row]], best, atol=1e-5)
        assert len(set(found.items[row].tolist())) == 10


def test_a_collapsed_model_ties_with_all() -> None:
    """Scores that are equal must not read as a perfect rank, nor as the worst."""
    rng = np.random.default_rng(0)
    states, row = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((2, 301), (301,)))
    table = jnp.broadcast_to(row, (40, 301))
    found = rank_items(states, table, targets=jnp.array([0, 39]), chunk=16)
    assert (found.above.tolist(), found.tied.tolist()) == ([0, 0], [39, 39])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: item_cross_entropy(STATES, TABLE.T, LABELS), r"states \[5, 3\], table \[3, 13\]: expected"),
        (lambda: item_cross_entropy(STATES, TABLE, LABELS[:2]), r"labels \[2\]: expected \[5\] \(N\)"),
        (lambda: item_cross_entropy(STATES, TABLE, LABELS, items=14), r"items is 14: expected 1 to 13"),
        (
            lambda: rank_items(np.float32(STATES), np.float32(TABLE), k=14),
            r"k is 14: expected 0 to 13, the number of items",
        ),
        (lambda: rank_items(STATES, TABLE, chunk=0), r"chunk is 0: expected 1 or more"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
