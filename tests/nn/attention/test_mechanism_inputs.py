"""What the layer of a recurrence refuses, by name; where gates start; options, dtypes and rotations."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.nn.attention.gates import make_gate
from attnjax.ops import masks, scores
from tests.daily import daily
from tests.ops.linear.member_cases import MEMBERS

IDS = jnp.array([0, 0, 1])


def layer(mechanism: str = "gla", **options: Any) -> nn.Attention:
    return nn.Attention(8, 2, mechanism=mechanism, rngs=nnx.Rngs(0), **options)


def x() -> jax.Array:
    return jax.random.normal(jax.random.key(0), (2, 3, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mechanism": "gated_slo"}, "unknown mechanism 'gated_slo'; did you mean gated_slot"),
        ({"options": {"slots": 3}}, "options slots: gla takes scale"),
        ({"mechanism": "softmax", "options": {"slots": 3}}, "options slots: softmax takes none"),
        (
            {"mechanism": "delta_product", "options": {"writes": 0}},
            r"options\['writes'\] is 0: expected at least",
        ),
        ({"mechanism": "mesa", "options": {"iterations": 0}}, "iterations is 0: expected at least 1"),
        ({"mechanism": "lightning", "options": {"layer": 5}}, "layer is 5: expected .* below layers = 1"),
        ({"mechanism": "cosformer", "options": {"horizon": -1}}, "horizon is -1: expected .* above 0"),
        ({"mechanism": "hgrn2", "rope": "halves"}, "rope 'halves': expected none, the keys of hgrn2"),
        ({"mechanism": "hgrn2", "qk_norm": True}, "qk_norm True: expected none, the keys of hgrn2"),
        ({"value_dim": 0}, "value_dim 0: expected 1 or more"),
        ({"mechanism": "mamba2", "kv_heads": 3}, r"kv_heads 3: expected a divisor of heads \(2\)"),
    ],
)
def test_bad_choices_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer(**options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": masks.sliding_window(2, 0)}, r"mask sliding_window\(2, 0\): expected causal\(\), lengths"),
        ({"mask": masks.causal() & ~masks.causal()}, r"mask ~causal\(\): expected"),
        ({"mask": masks.causal() & masks.causal()}, r"mask causal\(\): expected .* one of each"),
        ({"mask": masks.lengths(query=2)}, r"mask lengths\(query=2\): expected"),
        ({"mask": masks.segments(IDS, IDS[:2])}, r"mask segments\(int32\[3\], int32\[2\]\): expected"),
        ({"mask": jnp.ones((3, 3), bool)}, "mask array: expected"),
        ({"mask": masks.causal(1)}, r"mask causal\(1\): expected causal\(\) without an offset"),
        ({"score": scores.softcap(2.0)}, "score is given: gla takes none"),
        ({"dropout": nn.Dropout(0.1, jax.random.key(0))}, "dropout is given: gla takes none"),
        ({"capture": nn.Capture()}, "capture is given: gla takes none"),
        ({"context": jnp.ones((2, 3, 8))}, "context is given: gla takes none"),
    ],
)
def test_what_a_recurrence_cannot_do_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: layer()(x(), **{"mask": masks.causal()} | arguments).out)


@pytest.mark.parametrize("name", ["gla", "gated_delta_net", "delta_product", "mamba2"])
@pytest.mark.parametrize("causal", [masks.causal(), None])
def test_segments_and_lengths_that_do_not_fit_are_named(name: str, causal: Any) -> None:
    """With a short convolution too, which sees them first."""
    for mask, message in (
        (masks.segments(jnp.zeros((2, 4), int)), r"segment_ids has shape \[2, 4\]: .* to \[2, 3\]"),
        (masks.lengths(key=jnp.ones(3, int)), r"lengths has shape \[3\]: .* to \[2\]"),
    ):
        whole = mask if causal is None else causal & mask
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(lambda mask=whole: layer(name)(x(), mask=mask).out)


@pytest.mark.parametrize("name", [name for name, member in MEMBERS.items() if member.two_sided is None])
@pytest.mark.parametrize("mask", [None, masks.lengths(key=2)])
def test_a_member_that_is_causal_only_asks_for_a_causal_mask(name: str, mask: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name} is causal only, expected causal\(\) in it"):
        jax.eval_shape(lambda: layer(name)(x(), mask=mask).out)


def test_a_cache_that_does_not_fit_is_named() -> None:
    recurrent, softmax = layer(), layer("softmax")
    cache = recurrent.empty_cache((2,), 3, jnp.float32)
    for mask in (None, masks.causal() & masks.segments(IDS)):
        with pytest.raises(
            ValueError, match=r"with a cache: expected causal\(cache.length\), and no segments"
        ):
            recurrent(x(), mask=mask, cache=cache)
    with pytest.raises(
        ValueError, match=r"mask causal\(2\) with a cache: expected causal\(cache.length\), it is"
    ):
        recurrent(x(), mask=masks.causal(2), cache=cache)
    with pytest.raises(ValueError, match=r"cache holds \[2, 2, 4, 4\]: x has the batch axes \[1\]"):
        recurrent(x()[:1], mask=masks.causal(), cache=cache)
    with pytest.raises(TypeError, match="cache is a KVCache: expected the StateCache of gla"):
        recurrent(x(), mask=masks.causal(), cache=softmax.empty_cache((2,), 3, jnp.float32))
    with pytest.raises(TypeError, match="cache is a StateCache: expected the KVCache of softmax"):
        softmax(x(), mask=masks.causal(), cache=cache)


def test_gates_start_where_their_papers_do() -> None:
    axes = {"kv_heads": 64}
    starts = {
        (name, gate): make_gate(declared, axes, 8, rngs=nnx.Rngs(0))(jnp.zeros((1, 8)), None)
        for name, gate in (
            *(("mamba2", gate) for gate in ("dt", "rate", "skip")),
            *(("mesa", gate) for gate in ("decay", "strength", "ridge")),
            ("rebased", "key_shift"),
        )
        for declared in (MEMBERS[name].gates[gate],)
    }
    ranges = {
        **{("mamba2", "dt"): (1e-3, 1e-1), ("mamba2", "rate"): (-16, -1), ("mamba2", "skip"): (1, 1)},
        **{("mesa", "decay"): (-1.6, -1e-3), ("mesa", "strength"): (0.5, 0.5), ("mesa", "ridge"): (1, 1)},
        ("rebased", "key_shift"): (0, 0),
    }
    for gate, value in starts.items():
        low, high = ranges[gate]
        assert low - 1e-4 <= value.min() <= value.max() <= high + 1e-4, gate
        if low < high:
            assert value.max() - value.min() > (high - low) / 4, gate


def test_queries_and_keys_are_rotated_where_asked_and_the_cache_knows_how_far() -> None:
    turned = layer("delta_product", rope="halves")
    whole = jax.jit(lambda x, positions: turned(x, mask=masks.causal(), positions=positions).out)
    step = jax.jit(lambda x, cache: turned(x, mask=masks.causal(cache.length), cache=cache))
    out = whole(x(), jnp.arange(3))
    np.testing.assert_allclose(whole(x(), jnp.arange(3) + 40), out, atol=1e-5)
    assert np.abs(whole(x(), 3 * jnp.arange(3)) - out).max() > 1e-3
    cache, parts = turned.empty_cache((2,), 3, jnp.float32), []
    for t in range(3):
        part, cache, _ = step(x()[:, t : t + 1], cache)
        parts.append(part)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), out, atol=1e-5)


def test_computes_in_dtype_and_keeps_its_state_in_float32() -> None:
    half, exact = layer("gated_delta_net", dtype=jnp.bfloat16), layer("gated_delta_net")
    cache = half.empty_cache((2,), 3, jnp.bfloat16)
    out, after, _ = half(x(), mask=masks.causal(), cache=cache)
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(half))} == {jnp.dtype(jnp.float32)}
    assert (out.dtype, after.state.dtype, after.tails["key"].dtype) == (
        jnp.bfloat16,
        jnp.float32,
        jnp.bfloat16,
    )
    np.testing.assert_allclose(out.astype(jnp.float32), exact(x(), mask=masks.causal()).out, atol=0.1)


def test_a_value_head_has_its_own_size_with_softmax_too() -> None:
    wide = layer("softmax", value_dim=5)
    assert wide.value.kernel.shape == (8, 2, 5)
    cache = wide.empty_cache((2,), 3, jnp.float32)
    out = wide(x(), mask=masks.causal(), cache=cache).out
    np.testing.assert_allclose(out, wide(x(), mask=masks.causal()).out, rtol=1e-5, atol=1e-6)


def test_lengths_count_from_the_first_token_of_the_cache() -> None:
    recurrent = layer("gated_delta_net")
    step = jax.jit(
        lambda x, mask, cache: recurrent(x, mask=mask & masks.causal(cache.length), cache=cache).cache
    )
    cache = recurrent.empty_cache((2,), 6, jnp.float32)
    whole = step(x(), masks.lengths(key=3), cache)
    cache = step(x()[:, :2], masks.lengths(key=3), cache)
    cache = step(jnp.concatenate([x()[:, 2:], jnp.ones((2, 1, 8))], 1), masks.lengths(key=3), cache)
    np.testing.assert_allclose(cache.state, whole.state, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cache.tails["key"], whole.tails["key"], rtol=1e-5, atol=1e-6)


NO_TOKENS, NO_ROWS = (2, 0, 8), (0, 3, 8)


@pytest.mark.parametrize(
    ("name", "shape"),
    daily(
        itertools.product(["softmax", "linear", "gated_delta_net", "delta_product"], [NO_TOKENS, NO_ROWS]),
        [("softmax", NO_TOKENS), ("softmax", NO_ROWS), ("delta_product", NO_TOKENS), ("linear", NO_ROWS)],
    ),
)
def test_no_tokens_or_no_rows(name: str, shape: tuple[int, ...]) -> None:
    assert layer(name, rope="halves")(jnp.ones(shape), mask=masks.causal()).out.shape == shape
