"""Scores that depend on the distance, pair by pair, where cached keys stand before the queries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.positions import relative_buckets

B, T, S, N, OFFSET = 2, 3, 7, 2, 4
SLOPES = np.array([0.5, 0.1], np.float32)
TABLE = np.random.default_rng(0).normal(size=(8, N)).astype(np.float32)
GATES = -np.random.default_rng(1).random((B, S, N)).astype(np.float32)


def biased(b: int, h: int, i: int, j: int) -> float:
    return TABLE[int(relative_buckets(i, j, num_buckets=8, bidirectional=False)), h]


CASES = {
    "alibi": (lambda at: aj.alibi(SLOPES, at), lambda b, h, i, j: -SLOPES[h] * (i - j)),
    "relative bias": (lambda at: aj.relative_bias(TABLE, bidirectional=False, offset=at), biased),
    "forget gate": (
        lambda at: aj.forget_gate(GATES, at),
        lambda b, h, i, j: GATES[b, j + 1 : i + 1, h].sum(),
    ),
}
OFFSETS = {"of all rows": OFFSET, "of each row": jnp.array([OFFSET, 1])}


@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS)
@pytest.mark.parametrize("name", CASES)
def test_a_score_counts_from_the_position_of_the_query(name, offset):
    make, formula = CASES[name]
    score, starts = make(offset), np.broadcast_to(offset, B)
    expected = np.full((B, N, T, S), -np.inf)
    for b, h, i in np.ndindex(B, N, T):
        for j in range(i + starts[b] + 1):
            expected[b, h, i, j] = formula(b, h, i + starts[b], j)
    # Queries and keys of zero, each pair on its own: a softmax would not see what all keys of a row share.
    query, key = jnp.zeros((B, T, N, 4)), jnp.zeros((B, S, N, 4))
    options = {"mask": aj.causal(offset), "normalizer": aj.sigmoid()}
    got = aj.attention_weights(query, key, score=score, **options)
    np.testing.assert_allclose(got, jax.nn.sigmoid(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("log_of_zero", [-np.inf, np.finfo(np.float32).min])
def test_a_gate_of_zero_is_a_border_that_no_weight_crosses(log_of_zero):
    gates = np.log([0.0, 0.5, 0.25, 0.0, 0.5, 0.5], where=np.arange(6) % 3 > 0, out=np.full(6, log_of_zero))
    query, key, value = jax.random.normal(jax.random.key(0), (3, 6, 1, 4))
    log_f = jnp.asarray(gates, jnp.float32)[:, None]

    def out(log_f, implementation):
        score, mask = aj.forget_gate(log_f), aj.causal(-1) | aj.dense(jnp.eye(6) > 0) & ~aj.global_tokens([3])
        return aj.attention(query, key, value, score=score, mask=mask, implementation=implementation)

    def loss(log_f, implementation):
        found = out(log_f, implementation)
        return jnp.sum(jnp.sin(found)), found

    # Row 3 attends keys 0 to 2 alone, all behind the gate of 0 at 3: as if they were masked.
    scores = np.einsum("tnh,snh->ts", query, key) / 2
    weights = np.zeros((6, 6))
    for i in (0, 1, 2, 4, 5):
        keys = range(0 if i < 3 else 3, i + 1)
        row = np.exp([scores[i, j] + gates[j + 1 : i + 1].sum() for j in keys])
        weights[i, list(keys)] = row / row.sum()
    expected = weights @ np.asarray(value[:, 0])
    for implementation in ("reference", "blockwise"):
        run = jax.jit(jax.grad(lambda x, i=implementation: loss(x, i), has_aux=True))
        gradient, found = run(log_f)
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5, atol=1e-6)
        assert np.isfinite(gradient).all()
        np.testing.assert_array_equal(np.flatnonzero(gradient), [1, 2, 4, 5])


def test_the_digits_of_a_forget_gate_do_not_depend_on_the_length():
    length = 2**17
    log_f = -np.random.default_rng(0).random((length, 1)).astype(np.float32)
    log_f[:9] = -1e9  # An additive mask's border: the sums begin far from 0.
    query, key = jnp.zeros((1, 1, 4)), jnp.zeros((length, 1, 4))
    options = {"score": aj.forget_gate(log_f, length - 1), "mask": aj.causal(length - 1)}
    weights = aj.attention_weights(query, key, **options)[0, 0, -60:]
    sums = np.append(np.cumsum(log_f[:0:-1, 0], dtype=np.float64)[:59][::-1], 0)
    np.testing.assert_allclose(weights, np.exp(sums) / np.exp(sums).sum(), rtol=5e-6)


def test_signed_alibi_raises_later_keys_and_is_bloom_s():
    query, key = jnp.zeros((T, N, 4)), jnp.zeros((S, N, 4))
    i, j = np.ogrid[:T, :S]
    signed = SLOPES[:, None, None] * (j - i - OFFSET)

    def weights(score, normalizer=None):
        return aj.attention_weights(query, key, score=score, normalizer=normalizer)

    got = weights(aj.alibi(SLOPES, OFFSET, signed=True), aj.sigmoid())
    np.testing.assert_allclose(got, jax.nn.sigmoid(signed), rtol=1e-6)
    bloom = aj.pair_bias(SLOPES[:, None, None] * np.arange(S, dtype=np.float32))
    np.testing.assert_allclose(weights(aj.alibi(SLOPES, signed=True)), weights(bloom), rtol=1e-5)
