"""Sparsemax and entmax against slow exact solutions in numpy; gradients against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj

ROWS = 3 * np.random.default_rng(0).normal(size=(6, 11))


def exact_sparsemax(row):
    """Tries every size of the support: the projection keeps the k largest, for the k that is consistent."""
    ordered = np.sort(row)[::-1]
    for k in range(len(row), 0, -1):
        threshold = (ordered[:k].sum() - 1) / k
        if ordered[k - 1] > threshold:
            return np.maximum(row - threshold, 0)
    raise AssertionError("no support is consistent")


def exact_entmax(row, alpha):
    """Bisects the threshold until float64 has no number in between."""
    z = (alpha - 1) * row
    weights = lambda threshold: np.maximum(z - threshold, 0) ** (1 / (alpha - 1))  # noqa: E731
    low, high = z.max() - 1, z.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if weights(middle).sum() >= 1 else (low, middle)
    return weights(low)


NORMALIZERS = {
    "sparsemax": (aj.sparsemax, exact_sparsemax),
    "entmax 1.5": (lambda: aj.entmax(1.5), lambda row: exact_entmax(row, 1.5)),
    "entmax 1.2": (lambda: aj.entmax(1.2), lambda row: exact_entmax(row, 1.2)),
    "entmax 2": (lambda: aj.entmax(2.0), exact_sparsemax),
    "entmax 3": (lambda: aj.entmax(3.0), lambda row: exact_entmax(row, 3.0)),
}


def weights_of(rows, normalizer, mask=None):
    """The weights of scores that are given: one-hot keys, scale 1."""
    keys = jnp.eye(rows.shape[-1])[:, None]
    return aj.attention_weights(rows[:, None], keys, scale=1.0, normalizer=normalizer, mask=mask)[0]


@pytest.mark.parametrize("name", NORMALIZERS)
def test_weights_are_the_exact_ones(name):
    ours, exact = NORMALIZERS[name]
    got = weights_of(jnp.asarray(ROWS), ours())
    np.testing.assert_allclose(got, [exact(row) for row in ROWS], rtol=0, atol=1e-10)
    assert (got == 0).any()


@pytest.mark.parametrize("name", NORMALIZERS)
def test_masked_keys_take_no_part(name):
    ours, exact = NORMALIZERS[name]
    mask = np.random.default_rng(1).random(ROWS.shape) < 0.5
    mask[2] = False
    got = weights_of(jnp.asarray(ROWS), ours(), mask)
    want = np.zeros_like(ROWS)
    for row, keys, out in zip(ROWS, mask, want, strict=True):
        if keys.any():
            out[keys] = exact(row[keys])
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_gradients_equal_finite_differences_of_the_exact_solution(name):
    ours, exact = NORMALIZERS[name]
    cotangent = np.random.default_rng(2).normal(size=ROWS.shape)
    got = jax.grad(lambda rows: jnp.sum(weights_of(rows, ours()) * cotangent))(jnp.asarray(ROWS))
    step, want = 1e-6, np.zeros_like(ROWS)
    for i, row in enumerate(ROWS):
        for j, unit in enumerate(np.eye(len(row)) * step):
            want[i, j] = (exact(row + unit) - exact(row - unit)) @ cotangent[i] / (2 * step)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-7)


def test_the_gradient_to_alpha_equals_finite_differences_of_the_exact_solution():
    cotangent = np.random.default_rng(2).normal(size=ROWS.shape)
    got = jax.grad(lambda a: jnp.sum(weights_of(jnp.asarray(ROWS), aj.entmax(a)) * cotangent))(jnp.array(1.6))
    at = lambda alpha: sum(exact_entmax(r, alpha) @ c for r, c in zip(ROWS, cotangent, strict=True))  # noqa: E731
    assert float(got) == pytest.approx((at(1.6 + 1e-6) - at(1.6 - 1e-6)) / 2e-6, abs=1e-7)


def test_the_comparison_sees_another_alpha():
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        np.testing.assert_allclose(
            weights_of(jnp.asarray(ROWS), aj.entmax(1.51)),
            [exact_entmax(row, 1.5) for row in ROWS],
            rtol=0,
            atol=1e-10,
        )
