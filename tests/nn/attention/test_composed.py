"""Attention composed of recipes: every mask against its definition, parts by formula, decoding, refusals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.mechanisms import Recipe, read, table
from attnjax.ops import masks
from attnjax.ops.normalizers.entmax import entmax_weights
from tests.daily import daily

T = 12
MASKS = [name for name, row in table(Recipe).items() if row.role == "mask"]


def layer(mechanism: str, **settings: Any) -> nn.Attention:
    made = nn.Attention(8, 2, mechanism=mechanism, rngs=nnx.Rngs(0), **settings)
    leaves, tree = jax.tree.flatten(nnx.state(made, nnx.Param))
    moved = [leaf + 0.1 * jax.random.normal(jax.random.key(i), leaf.shape) for i, leaf in enumerate(leaves)]
    nnx.update(made, jax.tree.unflatten(tree, moved))
    return made


def tokens() -> jax.Array:
    return jax.random.normal(jax.random.key(9), (2, T, 8))


def seen(mechanism: str, mask: Any) -> np.ndarray:
    """Which tokens weigh more than nothing."""
    weights = layer(mechanism)(tokens(), mask=mask, capture=nn.Capture(heads=(0,))).weights
    return np.asarray(weights[0, 0] > 0)


def by_definition(name: str, i: int, j: int, causal: bool) -> bool:
    """Which tokens see each other, of the small options below."""
    near = 0 <= i - j < 3 or (not causal and abs(i - j) < 3)
    return {
        "window": near,
        "dilated": (i - j) % 3 == 0,
        "strided": near or (i - j) % 3 == 0,
        "block_diagonal": i // 4 == j // 4,
        "chunked_causal": i // 4 == j // 4 and j <= i,
        "global_tokens": i < 2 or j < 2,
        "longformer": near or i < 1 or j < 1,
        "prefix": j < 4,
        "neighborhood": all(
            min(max(x - 1, 0), length - 3) <= y < min(max(x - 1, 0), length - 3) + 3
            for x, y, length in ((i // 4, j // 4, 3), (i % 4, j % 4, 4))
        ),
    }[name]


SMALL = {
    "window": "window(size=3)",
    "dilated": "dilated(step=3)",
    "strided": "strided(size=3)",
    "block_diagonal": "block_diagonal(size=4)",
    "chunked_causal": "chunked_causal(size=4)",
    "global_tokens": "global_tokens(count=2)",
    "longformer": "longformer(size=3)",
    "prefix": "prefix(size=4)",
    "neighborhood": "neighborhood(shape=[3, 4])",
    "random_blocks": "random_blocks(size=2, count=2)",
    "bigbird": "bigbird(size=2, count=1)",
}


DEFINED = [(name, way) for name in MASKS if name not in ("random_blocks", "bigbird") for way in (True, False)]


@pytest.mark.parametrize(
    ("name", "causal"),
    daily(
        DEFINED,
        [(name, way) for name, way in DEFINED if way or name in ("window", "chunked_causal", "longformer")],
    ),
)
def test_a_mask_is_its_definition(name: str, causal: bool) -> None:
    if table()[name].causal_only and not causal:
        with pytest.raises(ValueError, match=f"{name} is causal only"):
            seen(SMALL[name], None)
        return
    got = seen(SMALL[name], masks.causal() if causal else None)
    at = np.arange(T)
    expected = np.array([[by_definition(name, i, j, causal) for j in at] for i in at])
    ahead = at[:, None] < at
    if causal:
        expected = expected | ~ahead if name == "prefix" else expected & ~ahead
    elif name == "prefix":
        expected[:] = True  # There is nothing to widen.
    np.testing.assert_array_equal(got, expected)


def test_masks_joined_by_or_are_one_of_the_layers_masks() -> None:
    got = seen("(window(size=3) | global_tokens(count=2)) & dilated(step=3)", masks.causal())
    at = np.arange(T)
    i, j = at[:, None], at
    expected = ((i - j < 3) | (i < 2) | (j < 2)) & ((i - j) % 3 == 0) & (j <= i)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("causal", [True, False])
def test_random_blocks_are_as_many_as_asked_for(causal: bool) -> None:
    """Of those up to itself in a causal model, where the first has one."""
    got, at = seen(SMALL["random_blocks"], masks.causal() if causal else None), np.arange(6)
    blocks = got[1::2, ::2]
    np.testing.assert_array_equal(blocks.sum(1), np.minimum(2, at + 1) if causal else 2)
    np.testing.assert_array_equal(blocks, got[1::2, 1::2])
    got = seen(SMALL["bigbird"], masks.causal() if causal else None)[1::2, ::2]
    near = (np.abs(at[:, None] - at) <= 1) | (at == 0) | (not causal and at[:, None] == 0)
    beside = got & ~(np.tril(near) if causal else near)
    assert (got | ~(np.tril(near) if causal else near)).all()
    assert (beside.sum(1) <= 1).all()
    assert beside.any()


def test_what_a_mask_is_given_beside_causal_stays() -> None:
    got = seen("prefix(size=8)", masks.causal() & masks.lengths(key=6))
    assert not got[:, 6:].any()
    assert got[:, :6].all()


def test_scores_and_normalizers_are_their_formulas() -> None:
    """A window of sigmoids of capped scores that a gate has lowered, in NumPy."""
    made: Any = layer("softcap(c=2) & forget_gate & window(size=5) & sigmoid(bias=-1)", kv_heads=2)
    x = tokens()
    gates = np.asarray(x) @ np.asarray(made.made["forget_gate"].gate.kernel[...])
    log_f = -np.log1p(np.exp(-gates - np.asarray(made.made["forget_gate"].gate.bias[...])))
    query, key, value = (np.asarray(part(x)) for part in (made.query, made.key, made.value))
    out = np.zeros_like(query)
    for b, i, h in np.ndindex(2, T, 2):
        for j in range(max(0, i - 4), i + 1):
            score = 2 * np.tanh(query[b, i, h] @ key[b, j, h] / 2 / 2) + log_f[b, j + 1 : i + 1, h].sum()
            out[b, i, h] += value[b, j, h] / (1 + np.exp(-score + 1))
    expected = np.asarray(made.out(jnp.asarray(out)))
    np.testing.assert_allclose(made(x, mask=masks.causal()).out, expected, rtol=1e-4, atol=1e-5)


def test_a_sink_takes_weight() -> None:
    made: Any = layer("sink")
    weights = made(tokens(), mask=masks.causal(), capture=nn.Capture()).weights
    assert weights.shape == (2, 2, T, T)
    assert (weights.sum(-1) < 1).all()
    assert made.made["sink"].logits.get_metadata("axes") == ("heads",)


DECODED = ["bigbird(size=2, count=1) & forget_gate & sink", "random_blocks(size=2) & relative_bias & entmax"]


@pytest.mark.parametrize("mechanism", daily(DECODED, DECODED[:1]))
def test_tokens_in_parts_are_one_pass(mechanism: str) -> None:
    made, x = layer(mechanism, rope="halves"), tokens()
    expected = jax.jit(lambda x: made(x, mask=masks.causal()).out)(x)
    step = jax.jit(lambda x, cache: made(x, mask=masks.causal(cache.length), cache=cache)[:2])
    cache, parts = made.empty_cache((2,), T + 2, jnp.float32), []
    for part in (x[:, :6], x[:, 6:7], x[:, 7:8], x[:, 8:9], x[:, 9:10], x[:, 10:11], x[:, 11:]):
        out, cache = step(part, cache)
        parts.append(out)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "mechanism",
    daily(["relative_bias", "forget_gate", "sink", "learned_entmax"], ["relative_bias", "learned_entmax"]),
)
def test_what_a_recipe_learns_is_a_named_parameter_with_a_gradient(mechanism: str) -> None:
    made = layer(mechanism)
    graphdef, params = nnx.split(made, nnx.Param)

    def loss(params: nnx.State) -> jax.Array:
        return (nnx.merge(graphdef, params)(tokens(), mask=masks.causal()).out ** 2).sum()

    own = nnx.to_pure_dict(jax.jit(jax.grad(loss))(params))["made"]
    assert all(np.abs(x).max() > 1e-6 for x in jax.tree.leaves(own))
    names = jax.tree.leaves(nn.logical_axes(params), is_leaf=lambda node: isinstance(node, tuple))
    assert [len(name) for name in names] == [leaf.ndim for leaf in jax.tree.leaves(params)]


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: layer("window")(tokens(), tokens()), "context is given: window.* takes none"),
        (lambda: layer("prefix").empty_cache((2,), 3, jnp.float32), "prefix needs all tokens at once"),
        (lambda: layer("widow"), "mechanism is 'widow': unknown mechanism 'widow'; did you mean window"),
        (lambda: layer("forget_gate")(tokens()), "forget_gate is causal only, expected causal"),
    ],
)
def test_what_cannot_be_is_named(run: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run()


def test_a_cache_of_another_kind_is_named() -> None:
    made = layer("forget_gate")
    cache = layer("window").empty_cache((2,), T, jnp.float32)
    with pytest.raises(TypeError, match="cache is a KVCache: expected the GatedKVCache of forget_gate"):
        made(tokens(), mask=masks.causal(), cache=cache)


def test_its_text_says_all_options() -> None:
    assert layer("window & entmax").mechanism == "window(size=16) & entmax(alpha=1.5)"
    assert read("window & entmax")[0].of_model() == read("window(size=16) & entmax(alpha=1.5)")[0]


def test_a_comparison_takes_the_place_of_the_products_beside_masks_and_a_normaliser() -> None:
    made = layer("additive & window(size=3) & entmax", kv_heads=1)
    query, source = made.query(tokens()), made.project(tokens())
    v = made.made["additive"].v[...]
    scores = np.einsum("nh,btsnh->bnts", v, np.tanh(query[:, :, None] + source.keys[:, None]))
    weights = made(tokens(), mask=masks.causal(), capture=nn.Capture()).weights
    expected = entmax_weights(
        jnp.where(masks.sliding_window(2, 0).materialize(T), jnp.asarray(scores), -jnp.inf), jnp.float32(1.5)
    )
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="additive & dot: a layer has one comparison"):
        read("additive & dot")


def test_comparisons_without_masks_and_scores_read_a_context() -> None:
    made, context = layer("concat & sigmoid"), tokens()[:, :5] + 1
    out = made(tokens(), context, mask=masks.lengths(key=jnp.array([5, 3])))
    np.testing.assert_allclose(out.out[1], made(tokens()[1:], context[1:, :3]).out[0], rtol=1e-5, atol=1e-6)
