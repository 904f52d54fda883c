"""Tiles of a predicate are classified by evaluating them, one at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.core.pairs import Sizes
from attnjax.ops.masks.tiles import EMPTY, FULL, PARTIAL, Tiles
from tests.ops.test_engines import sizes_of

SIZES = Sizes((2,), 3, 10, 13)
OPTIONS = {"batch": SIZES.batch, "heads": SIZES.heads}
RULES = {
    "position": (lambda b, h, i, j: (j <= i) & (i - j < 5), (1, 1)),
    "batch": (lambda b, h, i, j: j < 6 * b + 4, (2, 1)),
    "head": (lambda b, h, i, j: i // 4 == h, (1, 3)),
    "both": (lambda b, h, i, j: (i + j) // 4 != b + h, (2, 3)),
    "jitted": (jax.jit(lambda b, h, i, j: i >= j), (1, 1)),
    "nothing": (lambda b, h, i, j: jnp.array(False), (1, 1)),
    "everything": (lambda b, h, i, j: b == b, (2, 1)),
}


def as_dense(mask, **tile):
    return aj.dense(mask.materialize(10, 13, **OPTIONS)).classify(10, 13, **tile, **OPTIONS)


@pytest.mark.parametrize(
    ("rule", "block_q", "block_k"),
    [*((rule, 4, 5) for rule in RULES), ("both", 5, 13), ("both", 1, 1), ("both", 16, 16)],
)
def test_its_classes_are_those_of_its_array(rule, block_q, block_k):
    fn, axes = RULES[rule]
    tile = {"block_q": block_q, "block_k": block_k}
    got = aj.predicate(fn).classify(10, 13, **tile, **OPTIONS)
    want = as_dense(aj.predicate(fn), **tile)
    assert got.shape[:2] == axes, "as many batch elements and heads as the function tells apart"
    np.testing.assert_array_equal(np.broadcast_to(got, want.shape), want)


def test_a_ragged_tile_does_not_look_beyond_the_last_query_and_key():
    inside = aj.predicate(lambda b, h, i, j: (i < 10) & (j < 13))
    beyond = aj.predicate(lambda b, h, i, j: (i >= 10) | (j >= 13))
    assert (inside.classify(10, 13, block_q=4, block_k=4) == FULL).all()
    assert (beyond.classify(10, 13, block_q=4, block_k=4) == EMPTY).all()


def test_traced_and_with_a_traced_array_in_its_closure_the_classes_are_the_same():
    def classify(ids):
        mask = aj.predicate(lambda b, h, i, j: ids[i] == ids[j])
        return mask.classify(12, 12, block_q=4, block_k=3)

    ids = jnp.arange(12) // 4
    want = np.array([[FULL, PARTIAL, EMPTY, EMPTY], [EMPTY, PARTIAL, PARTIAL, EMPTY]])
    np.testing.assert_array_equal(classify(ids)[0, 0, :2], want)
    np.testing.assert_array_equal(jax.jit(classify)(ids), classify(ids))
    np.testing.assert_array_equal(jax.vmap(classify)(ids[None])[0], classify(ids))


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.float32])
def test_attention_takes_a_predicate_over_traced_values(dtype):
    x = jax.random.normal(jax.random.key(0), (12, 1, 4))
    ids = (jnp.arange(12) // 5).astype(dtype)

    def out(ids, implementation):
        mask = aj.predicate(lambda b, h, i, j: ids[i] == ids[j])
        return aj.attention(x, x, x, mask=mask, implementation=implementation)

    want = out(ids, "reference")
    for got in (out(ids, "blockwise"), jax.jit(out, static_argnums=1)(ids, "blockwise")):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_with_other_masks_it_leaves_only_the_blocks_that_attend():
    x = jnp.ones((2048, 1, 4))
    band = aj.predicate(lambda b, h, i, j: i - j < 512)
    plan = aj.plan_attention(x, x, x, mask=aj.causal() & band)
    same = aj.sliding_window(511, 0).classify(2048, 2048, block_q=plan.block_q, block_k=plan.block_k)
    assert (plan.visited, plan.full, plan.total) == (np.sum(same > 0), np.sum(same == 2), same.size)
    plan = aj.plan_attention(x, x, x, mask=aj.predicate(lambda b, h, i, j: j >= 0))
    assert plan.full == plan.total


@pytest.mark.parametrize("length", [64, 128])
def test_no_more_than_one_tile_is_in_memory(length):
    sizes = Sizes((2,), 2, length, length)

    def bounds(n):
        mask = aj.predicate(lambda b, h, i, j: (i + j + h) % 3 == b + n)
        return mask.bind(sizes).bounds(Tiles(sizes, 32, 16))

    table = 2 * 2 * (length // 32) * (length // 16)
    assert max(sizes_of(jax.make_jaxpr(bounds)(0).jaxpr)) == max(32 * 16, table)
