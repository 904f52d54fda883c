"""Attention over parts of the keys, and over blocks of any size, is attention over the whole."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnjax as aj
from attnjax.ops.arguments import make_call
from attnjax.ops.engines import blockwise
from attnjax.ops.engines.tuning import blocking_of
from tests.daily import daily

B, T, S, N, K, H, V = 2, 5, 12, 4, 2, 4, 3
CUTS = ((6,), (1, 11), (4, 8), (3, 4, 5))
quick = settings(max_examples=8, deadline=None, derandomize=True, database=None)


@pytest.fixture(autouse=True, scope="module")
def _double_precision():
    with jax.enable_x64(True):
        yield


def draw(seed):
    rng = np.random.default_rng(seed)
    shapes = ((B, T, N, H), (B, S, K, H), (B, S, K, V))
    query, key, value = (jnp.asarray(3 * rng.normal(size=shape)) for shape in shapes)
    # Rows with no key at all, and parts without a key for some rows.
    mask = rng.random((B, N, T, S)) < rng.choice((0.1, 0.5))
    mask[:, :, 0] = False
    return query, key, value, mask


def parts_of(query, key, value, mask, cuts):
    edges = (0, *cuts, S)
    spans = [slice(a, b) for a, b in itertools.pairwise(edges)]
    return [aj.attention(query, key[:, s], value[:, s], mask=mask[..., s], return_lse=True) for s in spans]


def assert_same(got, want):
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=0, atol=1e-12)


@quick
@given(st.integers(0, 999), st.sampled_from(CUTS), st.randoms(use_true_random=False))
def test_the_merge_of_any_split_in_any_order_is_the_whole(seed, cuts, random):
    inputs = draw(seed)
    query, key, value, mask = inputs
    parts = parts_of(*inputs, cuts)
    random.shuffle(parts)
    whole = aj.attention(query, key, value, mask=mask, return_lse=True)
    assert_same(aj.merge_attention(*zip(*parts, strict=True)), whole)
    assert jnp.isneginf(whole[1][:, :, 0]).all()
    assert not whole[0][:, 0].any()


@quick
@given(st.integers(0, 999))
def test_merging_is_associative(seed):
    a, b, c = parts_of(*draw(seed), (4, 8))
    merge = lambda *parts: aj.merge_attention(*zip(*parts, strict=True))  # noqa: E731
    assert_same(merge(merge(a, b), c), merge(a, merge(b, c)))


@pytest.mark.parametrize("constant", [1e4, -1e9, 1e30])
def test_parts_far_from_zero_weigh_as_their_log_sum_exps_say(constant):
    query, key, value, _ = draw(4)
    bias = jnp.full(S, constant).at[:4].set(0)
    near, far = (
        aj.attention(query, key[:, s], value[:, s], bias=bias[s], return_lse=True)
        for s in (slice(0, 4), slice(4, S))
    )
    out, lse = aj.merge_attention(*zip(near, far, strict=True))
    whole = aj.attention(query, key, value, bias=bias, return_lse=True)
    # Of two parts that are near each other, weights are as exact as their log-sum-exps; of others, exact.
    np.testing.assert_allclose(out, whole[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(lse, whole[1], rtol=1e-12)
    twice, _ = aj.merge_attention((far[0], 3 * far[0]), (far[1], far[1]))
    np.testing.assert_allclose(twice, 2 * far[0], rtol=1e-12)


def test_a_part_without_keys_changes_nothing():
    query, key, value, mask = draw(0)
    part = aj.attention(query, key, value, mask=mask, return_lse=True)
    nothing = aj.attention(query, key, value, mask=jnp.zeros_like(mask), return_lse=True)
    assert_same(aj.merge_attention(*zip(part, nothing, strict=True)), part)
    assert_same(aj.merge_attention(*zip(nothing, nothing, strict=True)), nothing)


def test_gradients_through_a_merge_are_those_of_the_whole():
    query, key, value, mask = draw(1)

    def whole(q, k, v):
        out, lse = aj.attention(q, k, v, mask=mask, return_lse=True)
        return jnp.sum(jnp.sin(out)) + jnp.sum(jnp.where(jnp.isneginf(lse), 0, lse))

    def merged(q, k, v):
        out, lse = aj.merge_attention(*zip(*parts_of(q, k, v, mask, (1, 6)), strict=True))
        return jnp.sum(jnp.sin(out)) + jnp.sum(jnp.where(jnp.isneginf(lse), 0, lse))

    got, want = (jax.jit(jax.grad(f, (0, 1, 2)))(query, key, value) for f in (merged, whole))
    assert all(jnp.isfinite(g).all() for g in got)
    assert_same(got, want)


def test_leaving_a_part_out_is_seen():
    query, key, value, mask = draw(2)
    outs, lses = zip(*parts_of(query, key, value, mask, (4, 8)), strict=True)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same(
            aj.merge_attention(outs[:2], lses[:2]),
            aj.attention(query, key, value, mask=mask, return_lse=True),
        )


RULES = {
    "mask": aj.causal(offset=4) & aj.sliding_window(3, 1, offset=2) | aj.global_tokens([1]),
    "score": aj.softcap(20.0) >> aj.alibi(np.array([0.5, 0.25, 0.125, 0.0625])),
    "dropout_rate": 0.25,
}


def blocks_result(inputs, block_q, block_k):
    """Output, lse and gradients with blocks of this size, under rules of every sort."""
    bias = jnp.sin(jnp.arange(T * S, dtype=jnp.float64)).reshape(T, S)

    def run(query, key, value, bias, sink):
        call = make_call(
            query, key, value, bias=bias, normalizer=aj.softmax(sink), dropout_key=jax.random.key(0), **RULES
        )
        return blockwise.run(call, blocking_of(call, block_q, block_k))

    def loss(*args):
        result = run(*args)
        out, lse = result.out, result.sums.lse
        return jnp.sum(jnp.sin(out)) + jnp.sum(jnp.where(jnp.isneginf(lse), 0, lse)), (out, lse)

    arguments = (*inputs[:3], bias, jnp.linspace(-1.0, 1.0, N))
    gradients, outputs = jax.jit(jax.grad(loss, tuple(range(5)), has_aux=True))(*arguments)
    return *outputs, *gradients


@pytest.mark.parametrize(("block_q", "block_k"), daily([(1, 1), (2, 5), (4, 12), (3, 4)], [(2, 5)]))
def test_the_size_of_blocks_changes_nothing(block_q, block_k):
    inputs = draw(3)
    assert_same(blocks_result(inputs, block_q, block_k), blocks_result(inputs, T, S))
