"""Capture: a static request that costs nothing when absent and changes nothing when present."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import attnjax as aj
from attnjax import nn
from attnjax.ops import masks
from tests.daily import daily

B, T, DIM, HEADS = 3, 17, 32, 4


def layer(**options) -> nn.Attention:
    return nn.Attention(DIM, HEADS, kv_heads=2, rope="halves", rngs=nnx.Rngs(0), **options)


def tokens(dtype: jnp.dtype = jnp.float32) -> jax.Array:
    return 3 * jax.random.normal(jax.random.key(0), (B, T, DIM), dtype)


@pytest.mark.parametrize(
    ("implementation", "dtype", "rate"),
    daily(
        itertools.product(["reference", "blockwise"], ["float32", "bfloat16"], [0.0, 0.2]),
        [("reference", "float32", 0.0), ("reference", "bfloat16", 0.2), ("blockwise", "float32", 0.2)],
    ),
)
def test_capturing_changes_no_bit_of_the_output(implementation: str, dtype: str, rate: float) -> None:
    dropout = nn.Dropout(rate, jax.random.key(1)) if rate else None
    module, x = layer(implementation=implementation, dtype=dtype), tokens(dtype)
    options = {"mask": masks.causal(), "dropout": dropout}
    plain = jax.jit(lambda x: module(x, **options).out)(x)
    out, _, weights = jax.jit(lambda x: module(x, capture=nn.Capture(), **options))(x)
    np.testing.assert_array_equal(np.asarray(out, np.float32), np.asarray(plain, np.float32))
    assert weights.shape == (B, HEADS, T, T)


def test_no_request_compiles_the_program_of_a_layer_without_capture() -> None:
    module, x = layer(), tokens()

    def by_hand(x: jax.Array) -> jax.Array:
        """The layer in the primitives' words, where capture does not exist."""
        positions = jnp.arange(T) + 0
        query = module._rotated(module.query(x), positions)
        keys, values = module.project(x, positions)
        return module.out(aj.attention(query, keys, values, mask=masks.causal()))

    def as_layer(x: jax.Array) -> jax.Array:
        return module(x, mask=masks.causal(), capture=None).out

    def text(f) -> str:
        f.__name__ = "f"
        return jax.jit(f).lower(x).as_text()

    assert text(as_layer) == text(by_hand)
    assert text(lambda x: module(x, mask=masks.causal(), capture=nn.Capture())) != text(by_hand)


def test_weights_are_those_that_made_the_output() -> None:
    module, x = layer(), tokens()
    out, _, weights = module(x, mask=masks.causal(), capture=nn.Capture())
    np.testing.assert_allclose(weights.sum(-1), np.ones((B, HEADS, T)), atol=1e-5)
    values = jnp.repeat(module.project(x).values, 2, axis=2)
    np.testing.assert_allclose(module.out(jnp.einsum("bnts,bsnh->btnh", weights, values)), out, atol=1e-4)


def test_a_request_selects_heads_and_rows_in_its_order() -> None:
    module, x = layer(), tokens()
    everything = module(x, mask=masks.causal(), capture=nn.Capture()).weights
    *_, part = module(x, mask=masks.causal(), capture=nn.Capture(heads=(3, 0), rows=(16, 2, 5)))
    np.testing.assert_allclose(
        part, np.asarray(everything)[:, [3, 0]][:, :, [16, 2, 5]], rtol=1e-5, atol=1e-6
    )


def test_a_request_is_static_and_can_leave_layers_out() -> None:
    assert hash(nn.Capture(layers=(1,))) == hash(nn.Capture(layers=(1,)))
    assert nn.Capture(layers=(1,)).layer(0) is None
    assert nn.Capture().layer(7) == nn.Capture()


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"heads": [0]}, TypeError, r"capture.heads \[0\]: expected None or a tuple of ints"),
        ({"rows": (1, 1)}, ValueError, r"capture.rows \(1, 1\): expected distinct indices"),
        ({"layers": (-1,)}, ValueError, r"capture.layers \(-1,\): expected distinct indices, counted from 0"),
    ],
)
def test_a_bad_request_is_named(fields: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        nn.Capture(**fields)


@pytest.mark.parametrize(
    ("request_", "message"), [({"heads": (4,)}, "there are 4"), ({"rows": (17,)}, "there are 17")]
)
def test_a_request_out_of_range_is_named(request_: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer()(tokens(), capture=nn.Capture(**request_))
