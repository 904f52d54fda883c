"""Against keras' layers on its JAX backend, with their own projections.

Asked for the weights, they compute attention with their own code instead of jax.nn's.
"""

import os

import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from tests.daily import daily, swept
from tests.oracles.oracle_support import ENGINES, MUTATIONS, Inputs, Sizes, assert_close, attend, key_lengths

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="keras is not installed (extra: oracles)")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

WIDTH, LENGTH = 12, 19
SIZES = Sizes(2, LENGTH, LENGTH, 4, 2, 8, 8)


def streams():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, LENGTH, WIDTH)), rng.normal(size=(2, LENGTH + 4, WIDTH))


def grouped_layer():
    return keras.layers.GroupQueryAttention(
        head_dim=8, num_query_heads=4, num_key_value_heads=2, use_bias=False, dtype="float64"
    )


def multi_head_layer():
    return keras.layers.MultiHeadAttention(
        num_heads=4, key_dim=8, value_dim=5, use_bias=False, dtype="float64"
    )


def run(layer, x, context, **kwargs):
    """Output and weights of the layer, and the queries, keys and values that its own kernels give."""
    layer.build(x.shape, context.shape)
    query, key, value, last = (3 * np.asarray(w) for w in layer.get_weights())
    layer.set_weights([query, key, value, last])
    out, weights = layer(x, context, return_attention_scores=True, **kwargs)
    projected = Inputs(
        np.einsum("btd,dnh->btnh", x, query),
        np.einsum("btd,dnh->btnh", context, key),
        np.einsum("btd,dnh->btnh", context, value),
    )
    return np.asarray(out), np.asarray(weights), projected, last


def ours(inputs, last, engine="reference", **kwargs):
    return np.einsum("btnv,nvd->btd", attend(inputs, engine, **kwargs), last)


@pytest.mark.parametrize(
    ("layer", "engine"), swept([grouped_layer, multi_head_layer], grouped_layer, ENGINES)
)
def test_self_attention_with_its_causal_mask(layer, engine):
    x, _ = streams()
    out, weights, inputs, last = run(layer(), x, x, use_causal_mask=True)
    assert_close(ours(inputs, last, engine, mask=aj.causal()), out)
    got = aj.attention_weights(jnp.asarray(inputs.query), jnp.asarray(inputs.key), mask=aj.causal())
    assert_close(np.asarray(got), weights)


@pytest.mark.parametrize(
    ("layer", "engine"), swept([grouped_layer, multi_head_layer], grouped_layer, ENGINES)
)
def test_cross_attention_with_its_padding_mask(layer, engine):
    x, context = streams()
    lengths = key_lengths(SIZES)
    out, weights, inputs, last = run(layer(), x, context, value_mask=np.arange(LENGTH + 4) < lengths[:, None])
    assert_close(ours(inputs, last, engine, mask=aj.lengths(key=lengths)), out)
    got = aj.attention_weights(
        jnp.asarray(inputs.query), jnp.asarray(inputs.key), mask=aj.lengths(key=lengths)
    )
    assert_close(np.asarray(got), weights)


@pytest.mark.parametrize("engine", daily(ENGINES, ["blockwise"]))
def test_the_dot_product_layer_of_luong(engine):
    """keras.layers.Attention has one head and no scale."""
    x, context = (0.5 * s for s in streams())
    layer = keras.layers.Attention(dtype="float64")
    out, _ = layer([x, context], use_causal_mask=True, return_attention_scores=True)
    inputs = Inputs(x[:, :, None], context[:, :, None], context[:, :, None])
    got = attend(inputs, engine, mask=aj.causal(), scale=1.0)
    assert_close(got[:, :, 0], np.asarray(out))


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_the_comparison_sees_a_planted_bug(mutation):
    x, _ = streams()
    out, _, inputs, last = run(grouped_layer(), x, x, use_causal_mask=True)
    mutated, kwargs = mutation(inputs, {"mask": aj.causal()})
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_close(ours(mutated, last, **kwargs), out)
