"""Blocks against their formulas: where the norms stand, what dropout acts on, which layer comes when."""

import jax
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.ops import masks

pytestmark = pytest.mark.versions

DIM = 8


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def norm(seed: int = 0) -> nnx.LayerNorm:
    """A norm off its initial value."""
    made = nn.make_norm("layer", DIM, rngs=nnx.Rngs(0))
    made.scale[...], made.bias[...] = 1 + normal(DIM, seed=seed), normal(DIM, seed=seed + 1)
    return made


def test_the_residual_norms_what_enters_or_the_sum() -> None:
    x, change, ln = normal(2, 3, DIM), normal(2, 3, DIM, seed=1), norm()
    pre, post = nn.Residual(ln, "pre"), nn.Residual(ln, "post")
    np.testing.assert_array_equal(pre.enter(x), ln(x))
    np.testing.assert_array_equal(pre.leave(x, change, None), x + change)
    np.testing.assert_array_equal(post.enter(x), x)
    np.testing.assert_array_equal(post.leave(x, change, None), ln(x + change))


def test_dropout_acts_on_the_change_alone() -> None:
    x, change, dropout = normal(2, 3, DIM), normal(2, 3, DIM, seed=1), nn.Dropout(0.5, jax.random.key(0))
    left = nn.Residual(norm(), "pre").leave(x, change, dropout)
    np.testing.assert_array_equal(left, x + dropout(change))


def test_another_placement_is_an_error() -> None:
    with pytest.raises(ValueError, match="placement 'between': expected one of pre, post, inner, sandwich"):
        nn.Residual(norm(), "between")


def test_a_decoder_block_looks_at_itself_then_at_the_context_then_feeds_forward() -> None:
    own, cross = (nn.Attention(DIM, 2, rngs=nnx.Rngs(seed)) for seed in range(2))
    feed, norms = nn.FeedForward(DIM, 12, rngs=nnx.Rngs(2)), [norm(seed) for seed in (0, 2, 4)]
    parts = iter(norms)
    block = nn.DecoderBlock(own, cross, feed, lambda: next(parts))
    x, context = normal(2, 5, DIM), normal(2, 7, DIM, seed=1)
    mask, context_mask = masks.causal(), masks.lengths(key=4)
    expected = x + own(norms[0](x), mask=mask).out
    expected = expected + cross(norms[1](expected), context, mask=context_mask).out
    expected = expected + feed(norms[2](expected))
    got = block(x, context, mask=mask, context_mask=context_mask).out
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_decoder_block_that_rotates_across_decodes_as_it_is_trained() -> None:
    own, cross = (nn.Attention(DIM, 2, rope="halves", rngs=nnx.Rngs(seed)) for seed in range(2))
    block = nn.DecoderBlock(own, cross, nn.FeedForward(DIM, 12, rngs=nnx.Rngs(2)), norm)
    x, context = normal(2, 4, DIM), normal(2, 7, DIM, seed=1)
    whole = block(x, context, mask=masks.causal()).out
    cache, source = own.empty_cache((2,), 4, x.dtype), cross.project(context)
    for t in range(4):
        step = block(x[:, t : t + 1], source, mask=masks.causal(cache.length), cache=cache)
        np.testing.assert_allclose(step.out, whole[:, t : t + 1], atol=1e-5)
        cache = step.cache
