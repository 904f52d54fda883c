"""Against jax.nn.dot_product_attention, in float32: its softmax stays float32 for float64 inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from tests.daily import daily, swept
from tests.oracles.oracle_support import (
    CASES,
    ENGINES,
    MUTATIONS,
    SIZES,
    SQUARE,
    Inputs,
    Sizes,
    assert_close,
    assert_rows_close,
    attend,
    attend_gradients,
    draw,
    key_lengths,
    query_lengths,
    rounded,
)

NARROW = Sizes(2, 19, 41, 4, 2, 8, 8)


def peer(inputs, **kwargs):
    arrays = (jnp.asarray(x, jnp.float32) for x in inputs)
    return np.asarray(jax.nn.dot_product_attention(*arrays, implementation="xla", **kwargs), np.float64)


def peer_gradients(inputs, cotangent, **kwargs):
    def loss(*arrays):
        out = jax.nn.dot_product_attention(*arrays, implementation="xla", **kwargs)
        return jnp.sum(out * cotangent.astype(np.float32))

    arrays = [jnp.asarray(x, jnp.float32) for x in inputs]
    return Inputs(*(np.asarray(g, np.float64) for g in jax.grad(loss, (0, 1, 2))(*arrays)))


def compare(inputs, engine, ours, theirs, allowed=None):
    inputs = rounded(inputs, "float32")
    got = attend(inputs, engine, "float32", **ours)
    assert_rows_close(got, peer(inputs, **theirs), allowed, "float32")


ALIKE = [name for name, sizes in SIZES.items() if sizes.H == sizes.V]


@pytest.mark.parametrize(("sizes", "engine"), swept(ALIKE, "square, grouped", ENGINES))
def test_unmasked_output(engine, sizes):
    compare(draw(SIZES[sizes]), engine, {}, {})


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sizes", [SQUARE, NARROW], ids=["square", "T≠S"])
def test_its_causal_mask_is_ours_at_offset_zero(engine, sizes):
    compare(draw(sizes), engine, {"mask": aj.causal()}, {"is_causal": True})


@pytest.mark.parametrize(("window", "engine"), swept([(3, 0), (0, 4), (5, 2)], (5, 2), ENGINES))
def test_its_local_window_is_ours(engine, window):
    compare(draw(SQUARE), engine, {"mask": aj.sliding_window(*window)}, {"local_window_size": window})


@pytest.mark.parametrize("engine", ENGINES)
def test_its_sequence_lengths_are_ours(engine):
    queries, keys = query_lengths(NARROW), key_lengths(NARROW)
    theirs = {
        "query_seq_lengths": jnp.asarray(queries, jnp.int32),
        "key_value_seq_lengths": jnp.asarray(keys, jnp.int32),
    }
    allowed = CASES["lengths"].literal(NARROW)
    compare(draw(NARROW), engine, {"mask": aj.lengths(queries, keys)}, theirs, allowed)


@pytest.mark.parametrize(
    ("case", "engine"), swept(["dense", "causal segments", "global and window"], "dense", ENGINES)
)
def test_masked_output(engine, case):
    case = CASES[case]
    allowed = case.literal(NARROW)
    compare(draw(NARROW), engine, {"mask": case.ours(NARROW)}, {"mask": jnp.asarray(allowed)}, allowed)


@pytest.mark.parametrize("engine", ENGINES)
def test_bias_scale_and_mask_together(engine):
    bias = np.random.default_rng(1).normal(size=(1, NARROW.N, NARROW.T, NARROW.S)).astype(np.float32)
    shared = {"bias": bias, "scale": 0.2}
    compare(draw(NARROW), engine, shared | {"mask": aj.causal()}, shared | {"is_causal": True})


@pytest.mark.parametrize("engine", daily(ENGINES, ["blockwise"]))
def test_gradients(engine):
    inputs, cotangent = rounded(draw(NARROW), "float32"), draw(NARROW, seed=9).query
    got = attend_gradients(inputs, cotangent, engine, "float32", mask=aj.causal())
    for ours, theirs in zip(got, peer_gradients(inputs, cotangent, is_causal=True), strict=True):
        assert_close(ours, theirs, "float32")


@pytest.mark.parametrize("engine", daily(ENGINES, ["blockwise"]))
def test_gradient_of_the_bias(engine):
    inputs, cotangent = rounded(draw(SQUARE), "float32"), draw(SQUARE, seed=9).query.astype(np.float32)
    arrays = [jnp.asarray(x, jnp.float32) for x in inputs]
    bias = jnp.asarray(np.random.default_rng(1).normal(size=(1, SQUARE.N, SQUARE.T, SQUARE.S)), jnp.float32)

    def ours(bias):
        out = aj.attention(*arrays, bias=bias, mask=aj.causal(), implementation=engine)
        return jnp.sum(out * cotangent)

    def theirs(bias):
        out = jax.nn.dot_product_attention(*arrays, bias=bias, is_causal=True, implementation="xla")
        return jnp.sum(out * cotangent)

    assert_close(np.asarray(jax.grad(ours)(bias)), np.asarray(jax.grad(theirs)(bias)), "float32")


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_the_comparison_sees_a_planted_bug(mutation):
    inputs = rounded(draw(SQUARE), "float32")
    mutated, kwargs = mutation(inputs, {"mask": aj.causal()})
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_close(
            attend(mutated, "reference", "float32", **kwargs), peer(inputs, is_causal=True), "float32"
        )


@pytest.mark.parametrize("window", [(2, 0), (4, 0), (3, 1)])
def test_the_comparison_sees_a_window_off_by_one(window):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(
            draw(SQUARE), "reference", {"mask": aj.sliding_window(*window)}, {"local_window_size": (3, 0)}
        )
