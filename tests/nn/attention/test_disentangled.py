"""Disentangled attention against its formula, pair by pair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models import EncoderConfig
from attnjax.nn import Capture
from attnjax.nn.attention.disentangled import DisentangledAttention, DistanceTable

T, D, N, H = 6, 8, 2, 4


def test_scores_are_of_contents_and_of_distances_both_ways() -> None:
    layer = DisentangledAttention(D, N, rngs=nnx.Rngs(0))
    table = DistanceTable(D, 4, 16, rngs=nnx.Rngs(1))
    table.table[...] = 30 * table.table[...]
    distances, x = table(T), jax.random.normal(jax.random.key(2), (T, D))
    vectors = table.norm(table.table[...])
    query, key = layer.query(x), layer.key(x)
    far_query, far_key = layer.query(vectors), layer.key(vectors)
    scores = np.zeros((N, T, T))
    for n in range(N):
        for i in range(T):
            for j in range(T):
                # With 4 buckets 2 distances have their own; those to 16 share two.
                bucket = {0: 0, 1: 1, 2: 2, 3: 3, 4: 3, 5: 3}[abs(i - j)] * (1 if i > j else -1) + 4
                scores[n, i, j] = query[i, n] @ key[j, n] + query[i, n] @ far_key[bucket, n]
                scores[n, i, j] += key[j, n] @ far_query[bucket, n]
    expected = jax.nn.softmax(scores / np.sqrt(3 * H), axis=-1)
    weights = layer(x, score=distances, capture=Capture()).weights
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-5)


def test_what_it_cannot_do_is_refused() -> None:
    layer, x = DisentangledAttention(D, N, rngs=nnx.Rngs(0)), jnp.ones((1, T, D))
    with pytest.raises(ValueError, match="score None: expected the Distances of the tokens"):
        layer(x)
    distances = DistanceTable(D, 4, 16, rngs=nnx.Rngs(1))(T)
    with pytest.raises(ValueError, match="cache is given: disentangled attention reads all tokens at once"):
        layer(x, score=distances, cache=layer.empty_cache((1,), T, jnp.float32))
    with pytest.raises(ValueError, match="kv_heads 1: expected 2, one for each head"):
        DisentangledAttention(D, N, kv_heads=1, rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match=r"model\.distance_buckets is 4: it needs mechanism softmax"):
        EncoderConfig(dim=D, heads=N, distance_buckets=4)
