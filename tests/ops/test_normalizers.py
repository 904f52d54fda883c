"""Normalisers: what the weights are, row by row, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.normalizers import Softmax, top_k
from attnjax.ops.normalizers.entmax import entmax_weights
from attnjax.ops.normalizers.sparsemax import sparsemax_weights

ROWS = 2 * jax.random.normal(jax.random.key(0), (5, 7))


def simplex_projection(z):
    """The nearest point of the simplex by trying every size of support."""
    for size in range(len(z), 0, -1):
        top = np.sort(z)[::-1][:size]
        threshold = (top.sum() - 1) / size
        if top[-1] > threshold:
            return np.maximum(z - threshold, 0)


def test_sparsemax_is_the_projection_on_the_simplex():
    expected = [simplex_projection(np.asarray(row, np.float64)) for row in ROWS]
    np.testing.assert_allclose(sparsemax_weights(ROWS), expected, rtol=1e-5, atol=1e-6)


def test_entmax_joins_softmax_and_sparsemax():
    near_softmax = entmax_weights(ROWS, jnp.float32(1.001))
    np.testing.assert_allclose(near_softmax, jax.nn.softmax(ROWS), atol=2e-3)
    np.testing.assert_allclose(
        entmax_weights(ROWS, jnp.float32(2.0)), sparsemax_weights(ROWS), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("alpha", [1.5, 3.0])
def test_entmax_rows_sum_to_one_and_satisfy_the_formula(alpha):
    with jax.enable_x64(True):
        z = jnp.asarray(ROWS, jnp.float64)
        p = np.asarray(entmax_weights(z, jnp.asarray(alpha)))
        np.testing.assert_allclose(p.sum(-1), 1, atol=1e-12)
        for row, weights in zip(np.asarray(z), p, strict=True):
            thresholds = (alpha - 1) * row[weights > 0] - weights[weights > 0] ** (alpha - 1)
            np.testing.assert_allclose(thresholds, thresholds[0], atol=1e-9)
            assert np.all((alpha - 1) * row[weights == 0] <= thresholds[0] + 1e-9)


def test_entmax_derivatives_in_scores_and_alpha_equal_finite_differences():
    with jax.enable_x64(True):
        z = jnp.asarray(ROWS[0], jnp.float64)

        def loss(x):
            return jnp.sum(jnp.sin(3 * entmax_weights(x[:-1], x[-1])))

        x = jnp.append(z, 1.4)
        steps = 1e-5 * jnp.eye(len(x))

        def differences(fn):
            return jax.jit(jax.vmap(lambda e: (fn(x + e) - fn(x - e)) / 2e-5))(steps)

        np.testing.assert_allclose(jax.jit(jax.grad(loss))(x), differences(loss), atol=1e-7)
        np.testing.assert_allclose(jax.jit(jax.hessian(loss))(x), differences(jax.grad(loss)), atol=1e-5)


def test_entmax_of_each_head_is_that_of_its_alpha(x64):
    x, alphas = jax.random.normal(jax.random.key(2), (5, 2, 3)), jnp.array([1.2, 1.9])
    got = aj.attention_weights(x, x, mask=aj.causal(), normalizer=aj.entmax(alphas))
    for head, alpha in enumerate(alphas):
        one = aj.attention_weights(x, x, mask=aj.causal(), normalizer=aj.entmax(alpha))
        np.testing.assert_allclose(got[head], one[head], rtol=1e-12)
    loss = jax.jit(lambda a: jnp.sin(aj.attention(3 * x, x, x, normalizer=aj.entmax(a))).sum())
    step = 1e-5 * jnp.eye(2)
    differences = [(loss(alphas + d) - loss(alphas - d)) / 2e-5 for d in step]
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(alphas), differences, rtol=1e-6)
    with pytest.raises(ValueError, match=r"alpha has shape \[3\]: expected \[\] or \[2\] \(N\)"):
        aj.attention(x, x, x, normalizer=aj.entmax(jnp.full(3, 1.5)))
    with pytest.raises(ValueError, match=r"alpha is 1\.0: expected a number above 1"):
        aj.entmax(np.array([1.5, 1.0]))


def test_top_k_is_a_softmax_of_the_highest_scores():
    """Of all that are equal to the last of them too, and of a row that has no more."""
    rows = jnp.concatenate([ROWS, ROWS[:1].at[0, :3].set(9.0)])
    weights, _ = top_k(2).weights(rows, None)
    for row, found in zip(np.asarray(rows, np.float64), weights, strict=True):
        kept = np.where(row >= np.sort(row)[-2], np.exp(row), 0)
        np.testing.assert_allclose(found, kept / kept.sum(), rtol=1e-5)
    assert [(np.asarray(row) > 0).sum() for row in weights] == [2, 2, 2, 2, 2, 3]
    np.testing.assert_allclose(top_k(9).weights(rows, None)[0], jax.nn.softmax(rows), rtol=1e-5)


@pytest.mark.parametrize(
    "normalizer", [aj.sparsemax(), aj.entmax(1.5), aj.sigmoid(0.5), aj.softmax(), top_k(2)]
)
def test_masked_pairs_weigh_nothing_and_rows_without_keys_have_zero_gradients(normalizer):
    x = jax.random.normal(jax.random.key(1), (6, 2, 4))
    mask = aj.causal(-1)
    weights = aj.attention_weights(x, x, mask=mask, normalizer=normalizer)
    assert not np.any(np.where(mask.materialize(6, heads=2), 0, weights))
    dirty = x.at[5].set(jnp.nan)

    def loss(query, key):
        return jnp.sum(jnp.sin(aj.attention(query, key, key, mask=mask, normalizer=normalizer)))

    gradient = jax.jit(jax.grad(loss))(x, dirty)
    assert np.isfinite(gradient).all()
    assert not np.any(gradient[0])


def test_sigmoid_weighs_each_pair_on_its_own_with_a_bias_per_head():
    x, bias = jax.random.normal(jax.random.key(1), (5, 2, 4)), jnp.array([-1.0, 2.0])
    scores = jnp.einsum("tnh,snh->nts", x, x) / 2
    expected = jax.nn.sigmoid(scores + bias[:, None, None])
    got = aj.attention_weights(x, x, normalizer=aj.sigmoid(bias))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    out = aj.attention(x, x, x, normalizer=aj.sigmoid(bias), implementation="blockwise")
    np.testing.assert_allclose(out, jnp.einsum("nts,snh->tnh", expected, x), rtol=1e-4, atol=1e-5)


def test_a_sink_takes_weight_that_goes_nowhere():
    x = jnp.zeros((3, 1, 4))
    weights = aj.attention_weights(x, x, normalizer=aj.softmax(jnp.zeros(1)))
    np.testing.assert_allclose(weights, 0.25, rtol=1e-6)


@pytest.mark.parametrize(
    "normalizer", [aj.softmax(), aj.softmax(jnp.array([1e4])), aj.sparsemax(), aj.entmax(1.5)]
)
def test_the_weights_of_rows_far_from_zero_are_those_of_what_is_left_of_the_scores(normalizer):
    constants = jnp.array([0.0, 1e4, -1e6, 1e7, -1e9, np.finfo(np.float32).min, 1e30])
    scores = jnp.arange(5) / 4 + constants[:, None]
    query, key = jnp.zeros((len(constants), 1, 1)), jnp.zeros((5, 1, 1))
    weights = aj.attention_weights(query, key, bias=scores, normalizer=normalizer)[0]
    left = np.asarray(scores, np.float64)
    near = aj.attention_weights(query, key, bias=left - left.max(-1, keepdims=True), normalizer=normalizer)[0]
    if isinstance(normalizer, Softmax):
        sink = -np.inf if normalizer.sink is None else 1e4
        near = np.exp(left - np.maximum(left.max(-1, keepdims=True), sink))
        near /= near.sum(-1, keepdims=True) + np.exp(sink - np.maximum(left.max(-1, keepdims=True), sink))
    np.testing.assert_allclose(weights, near, rtol=1e-6, atol=1e-6)


def test_the_log_sum_exp_of_many_keys_in_half_precision_is_added_up_in_single():
    """A sum of ones in bfloat16 stops at 256."""
    x = jnp.zeros((4096, 1, 2), jnp.bfloat16)
    for implementation in ("reference", "blockwise"):
        _, lse = aj.attention(x[:1], x, x, return_lse=True, implementation=implementation)
        np.testing.assert_allclose(lse, np.log(4096), rtol=1e-6)


def test_weights_of_rows_are_rows_of_the_weights():
    x = jax.random.normal(jax.random.key(2), (2, 6, 2, 4))
    options = dict(
        mask=aj.causal() & aj.segments(jnp.arange(6) // 4),
        bias=jax.random.normal(jax.random.key(3), (2, 6, 6)),
        score=aj.forget_gate(-jnp.ones((2, 6, 2))),
    )
    whole = aj.attention_weights(x, x, **options)
    np.testing.assert_allclose(aj.attention_weights(x, x, rows=[5, 0, 5], **options), whole[:, :, [5, 0, 5]])
