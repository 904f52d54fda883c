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
    "alibi": (aj.alibi(SLOPES, OFFSET), lambda b, h, i, j: -SLOPES[h] * (i - j)),
    "relative bias": (aj.relative_bias(TABLE, bidirectional=False, offset=OFFSET), biased),
    "forget gate": (aj.forget_gate(GATES, OFFSET), lambda b, h, i, j: GATES[b, j + 1 : i + 1, h].sum()),
}


@pytest.mark.parametrize("name", CASES)
def test_a_score_counts_from_the_position_of_the_query(name):
    score, formula = CASES[name]
    expected = np.full((B, N, T, S), -np.inf)
    for b, h, i in np.ndindex(B, N, T):
        for j in range(i + OFFSET + 1):
            expected[b, h, i, j] = formula(b, h, i + OFFSET, j)
    # Queries and keys of zero, each pair on its own: a softmax would not see what all keys of a row share.
    query, key = jnp.zeros((B, T, N, 4)), jnp.zeros((B, S, N, 4))
    options = {"mask": aj.causal(OFFSET), "normalizer": aj.sigmoid()}
    got = aj.attention_weights(query, key, score=score, **options)
    np.testing.assert_allclose(got, jax.nn.sigmoid(expected), rtol=1e-5, atol=1e-6)
