"""The cache: prefill in one call, then token by token, equals one call without it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.ops import masks, normalizers, scores
from tests.daily import daily

CHUNKS = {"one by one": [1] * 9, "prefill": [5, 1, 1, 1, 1], "chunks": [3, 4, 2], "at once": [9]}


@pytest.mark.parametrize(
    ("chunks", "kv_heads", "rope"),
    daily(
        [
            ("one by one", 4, "halves"),
            ("one by one", 1, None),
            ("prefill", 1, "interleaved"),
            ("chunks", 1, "halves"),
            ("chunks", 4, "interleaved"),
            ("at once", 4, None),
        ],
        [("one by one", 4, "halves"), ("prefill", 1, "interleaved")],
    ),
)
def test_cached_equals_uncached_in_float64(chunks: str, kv_heads: int, rope: str | None) -> None:
    with jax.enable_x64(True):
        module = nn.Attention(
            16, 4, kv_heads=kv_heads, rope=rope, qk_norm=True, param_dtype=jnp.float64, rngs=nnx.Rngs(0)
        )
        x = 3 * jax.random.normal(jax.random.key(0), (2, 9, 16), jnp.float64)
        cache = module.empty_cache((2,), 12, jnp.float64)
        step = jax.jit(lambda x, cache: module(x, mask=masks.causal(cache.length), cache=cache)[:2])
        parts, start = [], 0
        for size in CHUNKS[chunks]:
            out, cache = step(x[:, start : start + size], cache)
            parts.append(out)
            start += size
        whole = jax.jit(lambda x: module(x, mask=masks.causal()).out)(x)
        np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-10)
        assert cache.length.tolist() == [9, 9]


@pytest.mark.parametrize("kind", ["alibi", "t5"])
def test_cached_scores_know_where_they_are(kind: str) -> None:
    with jax.enable_x64(True):
        module = nn.Attention(16, 4, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
        score = nn.PositionScore(kind, 4, bidirectional=False, param_dtype=jnp.float64, rngs=nnx.Rngs(1))
        if score.table is not None:
            score.table[...] = jax.random.normal(jax.random.key(2), (32, 4), jnp.float64)
        x = 3 * jax.random.normal(jax.random.key(0), (2, 9, 16), jnp.float64)
        cache = module.empty_cache((2,), 12, jnp.float64)
        parts = []

        @jax.jit
        def step(x, cache):
            return module(x, mask=masks.causal(cache.length), score=score(cache.length), cache=cache)[:2]

        for tokens in (x[:, :3], x[:, 3:6], x[:, 6:]):
            out, cache = step(tokens, cache)
            parts.append(out)
        whole = jax.jit(lambda x: module(x, mask=masks.causal(), score=score()).out)(x)
        np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, atol=1e-10)


def test_free_slots_are_never_attended() -> None:
    module = nn.Attention(16, 4, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 5, 16))
    out = module(x, cache=module.empty_cache((2,), 12, x.dtype)).out
    np.testing.assert_allclose(out, module(x).out, rtol=1e-5, atol=1e-6)


def test_the_cache_given_is_not_changed() -> None:
    module = nn.Attention(16, 4, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 3, 16))
    before = module.empty_cache((2,), 4, x.dtype)
    after = module(x, cache=before).cache
    assert not before.length.any()
    assert not before.keys.any()
    assert after.length.tolist() == [3, 3]


def test_a_cache_may_be_narrower_than_the_computation() -> None:
    module = nn.Attention(16, 4, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 5, 16))
    out, cache, _ = module(x, cache=module.empty_cache((2,), 6, jnp.bfloat16))
    assert (out.dtype, cache.keys.dtype, cache.values.dtype) == (jnp.float32, jnp.bfloat16, jnp.bfloat16)
    np.testing.assert_allclose(out, module(x).out, atol=0.02)


@pytest.mark.parametrize("kind", [nn.KVCache, nn.WindowKVCache])
@pytest.mark.parametrize("capacity", [5, 16, 37])
def test_beams_go_on_from_others(kind: Any, capacity: int) -> None:
    """Also those whose slots are no multiple of what is moved at once."""
    cache = kind.empty((4,), capacity, kv_heads=2, head_dim=3)
    tokens = jax.random.normal(jax.random.key(0), (4, capacity, 2, 3))
    for count in (jnp.array([1, 4, 2, 0]), jnp.array([capacity - 4, 0, 1, 1])):
        cache = cache.append(nn.KeysValues(tokens, 2 * tokens), count=count)
        parents = jnp.array([1, 0, 0, 3])
        moved = jax.jit(lambda cache, parents: cache.among_beams(parents))(cache, parents)
        assert isinstance(moved, kind)
        for name in ("keys", "values", "length"):
            np.testing.assert_array_equal(getattr(moved, name), getattr(cache, name)[parents], name)


def test_overflow_is_an_error() -> None:
    module = nn.Attention(16, 4, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 3, 16))
    cache = module(x, cache=module.empty_cache((2,), 4, x.dtype)).cache
    with pytest.raises(ValueError, match="cache of 4 slots, 3 used: no room for 3 more tokens"):
        module(x, cache=cache)
    with pytest.raises(ValueError, match="cache of 2 slots"):
        jax.jit(lambda c: module(x, cache=c))(module.empty_cache((2,), 2, x.dtype))
    full = module(x[:, :1], cache=cache).cache  # The last slot may be used.
    assert full.length.tolist() == [full.capacity] * 2


BY_POSITION: dict[str, dict[str, Any]] = {
    "causal": {"mask": masks.causal()},
    "window": {"mask": ~(masks.prefix(1) | ~masks.sliding_window(2, 0))},
    "blocks": {"mask": masks.chunked_causal(8)},
    "alibi": {"score": scores.alibi(jnp.ones(4))},
    "the nearest key first": {"normalizer": normalizers.stick_breaking()},
    "after another": {"score": scores.softcap(9.0) >> scores.alibi(jnp.ones(4))},
}


@pytest.mark.parametrize("name", daily(BY_POSITION, ["window", "the nearest key first", "after another"]))
def test_what_counts_from_0_beside_tokens_in_the_cache_is_an_error(name: str) -> None:
    rule = BY_POSITION[name]
    module = nn.Attention(16, 4, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 4, 16))
    prefill, cache, _ = module(x[:, :3], **rule, cache=module.empty_cache((2,), 6, x.dtype))
    with pytest.raises(ValueError, match=r"with a cache of 3 tokens: .* expected offset=cache\.length"):
        module(x[:, 3:], **rule, cache=cache)
    # A traced length hides it: nothing but NaN, or the right values.
    step = jax.jit(lambda x, cache: module(x, **rule, cache=cache).out)
    assert jnp.isnan(step(x[:, 3:], cache)).all()
    np.testing.assert_allclose(step(x[:, :3], module.empty_cache((2,), 6, x.dtype)), prefill, atol=1e-6)


@pytest.mark.parametrize("mechanism", ["softmax", "gla"])
def test_a_cache_of_integers_is_an_error(mechanism: str) -> None:
    module = nn.Attention(16, 4, mechanism=mechanism, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match="dtype of the cache is int8: expected floating point"):
        module.empty_cache((2,), 4, jnp.int8)


def test_a_cache_made_by_hand_is_looked_at_too() -> None:
    module = nn.Attention(16, 4, rngs=nnx.Rngs(0))
    cache = jax.tree.map(lambda x: x.astype(int), module.empty_cache((2,), 4, jnp.float32))
    with pytest.raises(TypeError, match="dtype of the cache is int32"):
        module(jnp.ones((2, 3, 16)), cache=cache)


def test_what_does_not_fit_is_named() -> None:
    module = nn.Attention(16, 4, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 3, 16))
    with pytest.raises(
        ValueError, match=r"keys \[2, 3, 4, 4\] \(\*B, T, K, H\): the cache has \[3, 4, 4, 4\]"
    ):
        module(x, cache=module.empty_cache((3,), 4, x.dtype))
    with pytest.raises(ValueError, match="cache with context"):
        module(x, x, cache=module.empty_cache((2,), 4, x.dtype))
