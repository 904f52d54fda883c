"""Layers that were made from Keras' compute what these do, and give their weights back."""

import os
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import attnjax as aj
from attnjax.nn import Capture, SoftmaxAttention

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="keras is not installed (extra: oracles)")
interop = pytest.importorskip("attnjax.interop")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BATCH, T, S = 2, 5, 7
CASES = {
    "multi-head": lambda **o: keras.layers.MultiHeadAttention(2, key_dim=4, **o),
    "other sizes": lambda **o: keras.layers.MultiHeadAttention(
        2, key_dim=4, value_dim=3, output_shape=9, use_gate=True, **o
    ),
    "without biases": lambda **o: keras.layers.MultiHeadAttention(2, key_dim=4, use_bias=False, **o),
    "grouped": lambda **o: keras.layers.GroupQueryAttention(
        head_dim=4, num_query_heads=4, num_key_value_heads=2, sliding_window=3, use_gate=True, **o
    ),
}
WIDTHS = {"other sizes": (6, 8, 5)}


def built(name: str, dtype: str = "float64"):
    layer = CASES[name](dtype=dtype)
    widths = WIDTHS.get(name, (6, 6, 6))
    layer.build(*((BATCH, None, width) for width in widths))
    rng = np.random.default_rng(0)
    layer.set_weights([3 * rng.normal(size=w.shape) / 6**0.5 for w in layer.get_weights()])
    return layer, [rng.normal(size=(BATCH, n, width)) for n, width in zip((T, S, S), widths, strict=True)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("x64")
def test_outputs_and_weights_agree(name: str) -> None:
    theirs, (query, value, key) = built(name)
    mask = np.random.default_rng(1).random((BATCH, T, S)) < 0.7
    mask[..., :2] = True
    expected, weights = theirs(
        query, value, key, attention_mask=mask, use_causal_mask=True, return_attention_scores=True
    )
    layer = interop.from_keras(theirs)
    call = jax.jit(
        lambda q, k, v: layer(q, k, values=v, mask=aj.causal() & aj.dense(mask[:, None]), capture=Capture())[
            ::2
        ]
    )
    out, captured = call(query, key, value)
    np.testing.assert_allclose(out, expected, atol=1e-10)
    np.testing.assert_allclose(captured, weights, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_weights_come_back_as_they_went(name: str) -> None:
    theirs, _ = built(name, "float32")
    back = interop.to_keras(interop.from_keras(theirs))
    assert type(back) is type(theirs)
    assert back.get_config() | {"name": 0} == theirs.get_config() | {"name": 0}
    for got, expected in zip(back.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


UNPROJECTED = {
    "dot": lambda **o: keras.layers.Attention(**o),
    "scaled": lambda **o: keras.layers.Attention(use_scale=True, **o),
    "concat": lambda **o: keras.layers.Attention(score_mode="concat", **o),
    "scaled concat": lambda **o: keras.layers.Attention(score_mode="concat", use_scale=True, **o),
    "additive": lambda **o: keras.layers.AdditiveAttention(**o),
    "additive without v": lambda **o: keras.layers.AdditiveAttention(use_scale=False, **o),
}


@pytest.mark.parametrize("name", UNPROJECTED)
@pytest.mark.usefixtures("x64")
def test_layers_without_projections_agree(name: str) -> None:
    rng = np.random.default_rng(0)
    query, value, key = rng.normal(size=(BATCH, T, 4)), *rng.normal(size=(2, BATCH, S, 4))
    theirs = UNPROJECTED[name](dtype="float64")
    theirs.build([query.shape, value.shape, key.shape])
    theirs.set_weights([3 * rng.normal(size=w.shape) for w in theirs.get_weights()])
    expected, weights = theirs([query, value, key], use_causal_mask=True, return_attention_scores=True)
    rules = {"mask": aj.causal(), **interop.keras_rules(theirs, 4)}
    q, k, v = (jnp.asarray(x)[:, :, None] for x in (query, key, value))
    # Keras computes a tanh in float32: findings/keras-float64-layers-give-float32.sh.
    atol = 1e-10 if name in ("dot", "scaled") else 3e-6
    np.testing.assert_allclose(jax.jit(aj.attention)(q, k, v, **rules)[:, :, 0], expected, atol=atol)
    np.testing.assert_allclose(aj.attention_weights(q, k, **rules)[:, 0], weights, atol=atol)


def test_what_keras_lacks_is_refused() -> None:
    for settings, message in (
        ({"sink": True}, "the layer has a sink: keras's layer has none"),
        ({"window": (2, 0)}, "window: Keras' layer has no such setting"),
        ({"kv_heads": 1, "value_dim": 2}, "value_dim: Keras' layer"),
    ):
        with pytest.raises(ValueError, match=message):
            interop.to_keras(SoftmaxAttention(6, 2, **settings, rngs=nnx.Rngs(0)))


def test_wrong_inputs_are_named() -> None:
    with pytest.raises(TypeError, match="layer is a Dense: expected one of Keras' multi-head layers"):
        interop.from_keras(keras.layers.Dense(2))
    with pytest.raises(ValueError, match="has no weights yet"):
        interop.from_keras(CASES["multi-head"]())
    with pytest.raises(TypeError, match="layer is a Dense: expected Keras' Attention or AdditiveAttention"):
        interop.keras_rules(keras.layers.Dense(2), 4)


def test_attention_over_another_axis_than_that_of_tokens_is_refused() -> None:
    x = np.random.default_rng(2).normal(size=(2, 3, 4, 6)).astype(np.float32)
    for axes, told in ((None, "(1, 2)"), (1, "(1,)"), ((1, 2), "(1, 2)")):
        layer = keras.layers.MultiHeadAttention(2, key_dim=4, attention_axes=axes)
        layer.build(x.shape, x.shape)
        with pytest.raises(ValueError, match=re.escape(f"attends over the axes {told}: expected (2,)")):
            interop.from_keras(layer)
    layer = keras.layers.MultiHeadAttention(2, key_dim=4, attention_axes=2)
    expected = layer(x, x)
    np.testing.assert_allclose(interop.from_keras(layer)(jnp.asarray(x)).out, expected, atol=1e-5)


def test_what_differs_by_design_is_as_the_page_says() -> None:
    theirs, (query, value, key) = built("multi-head", "float32")
    nothing = np.ones((BATCH, T, S), bool)
    nothing[:, 1] = False
    out, weights = theirs(query, value, key, attention_mask=nothing, return_attention_scores=True)
    assert not np.asarray(weights)[:, :, 1].any()
    np.testing.assert_array_equal(out[:, 1], np.broadcast_to(theirs.get_weights()[-1], (BATCH, 6)))
    dropping = keras.layers.MultiHeadAttention(2, key_dim=4, dropout=0.5)
    _, weights = dropping(query, value, key, training=True, return_attention_scores=True)
    np.testing.assert_allclose(np.asarray(weights).sum(-1), 1, atol=1e-6)
    page = (Path(__file__).parents[2] / "docs/coming_from.md").read_text(encoding="utf-8")
    assert "| a query with no key to attend | 0 | 0 | NaN |" in page
    assert "| weights that are returned under dropout | before it | before it | after it |" in page
