"""Settings of attention layers that tests/oracles does not compare with open models."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import attnjax as aj
from attnjax import nn
from attnjax.ops import masks, normalizers, scores


def tokens(length: int = 5, width: int = 8, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (2, length, width))


def test_keys_values_and_output_have_widths_of_their_own() -> None:
    layer = nn.Attention(
        8, 2, context_dim=6, values_dim=3, out_dim=7, value_dim=5, scale=0.3, bias=("out",), rngs=nnx.Rngs(0)
    )
    context, values = tokens(4, 6, 1), tokens(4, 3, 2)
    query, key = layer.query(tokens()), layer.key(context)
    expected = layer.out(aj.attention(query, key, layer.value(values), scale=0.3))
    np.testing.assert_allclose(layer(tokens(), context, values=values).out, expected, atol=1e-6)
    assert expected.shape == (2, 5, 7)
    assert [part.bias is None for part in (layer.query, layer.key, layer.value, layer.out)] == [
        True,
        True,
        True,
        False,
    ]
    with pytest.raises(ValueError, match=r"values \[2, 4, 6\]: expected \(\*B, length, 3\)"):
        layer(tokens(), context)


def test_normaliser_score_and_gate_are_those_of_the_formula() -> None:
    score = nn.PositionScore("t5", 2, bidirectional=True, rngs=nnx.Rngs(1))
    layer = nn.Attention(
        8,
        2,
        normalizer=normalizers.entmax(1.5),
        softcap=2.0,
        score=score,
        window=(2, 1),
        output_gate="headwise",
        rngs=nnx.Rngs(0),
    )
    x = tokens()
    rules = {"score": [scores.softcap(2.0), score()], "normalizer": normalizers.entmax(1.5)}
    mask = masks.sliding_window(2, 1)
    heads = aj.attention(layer.query(x), layer.key(x), layer.value(x), mask=mask, **rules)
    gate = jax.nn.sigmoid(layer.output_gate.up(x))[..., None]
    captured = layer(x, capture=nn.Capture())
    np.testing.assert_allclose(captured.out, layer.out(gate * heads), atol=1e-6)
    expected = aj.attention_weights(layer.query(x), layer.key(x), mask=mask, **rules)
    np.testing.assert_allclose(captured.weights, expected, atol=1e-6)
    _, params = nnx.split(layer, nnx.Param)  # raises if any other state is left over
    assert nn.logical_axes(params)["output_gate"]["up"]["kernel"] == ("embed", "heads")


NORMS: dict[str, tuple[nn.HeadNorm, Any]] = {
    "each head": (
        nn.HeadNorm("layer", gain="each", eps=0.0),
        lambda h: (h - h.mean(-1, keepdims=True)) / h.std(-1, keepdims=True),
    ),
    "no gain": (nn.HeadNorm(gain="none", eps=0.0), lambda h: h / np.sqrt((h * h).mean(-1, keepdims=True))),
    "l2": (nn.HeadNorm("l2", eps=0.0), lambda h: h / np.linalg.norm(h, axis=-1, keepdims=True)),
    "one group": (
        nn.HeadNorm(groups=1, gain="each", eps=0.0),
        lambda h: h / np.sqrt((h * h).mean((-2, -1), keepdims=True)),
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_of_queries_and_keys(name: str) -> None:
    norm, formula = NORMS[name]
    layer = nn.Attention(8, 2, qk_norm=norm, rngs=nnx.Rngs(0))
    heads = np.asarray(layer.query(tokens()))
    np.testing.assert_allclose(layer.query_norm(heads), formula(heads), rtol=2e-5, atol=1e-5)
    if norm.gain == "each":
        assert layer.query_norm.scale.shape == (2, 4)


def test_strengths_reach_as_far_as_they_may() -> None:
    plain, strong = (
        nn.RecurrentAttention(8, 2, mechanism="delta_net", max_strength=most, rngs=nnx.Rngs(0))
        for most in (1.0, 2.0)
    )
    key = jnp.ones((2, 5, 2, 4))
    one, two = (layer.recurrence._gated(tokens(), key)["strength"] for layer in (plain, strong))
    np.testing.assert_allclose(two, 2 * one)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"bias": ("gate",)}, ValueError, "bias 'gate': expected True, False, or some of query, key"),
        ({"window": 0}, ValueError, "window 0: expected 1 or more tokens"),
        ({"softcap": -1.0}, ValueError, "softcap is -1.0: expected a number above 0"),
        ({"sink": True, "normalizer": normalizers.sparsemax()}, ValueError, "sink True with normalizer"),
        ({"normalizer": normalizers.softmax(jnp.zeros(2))}, ValueError, "expected numbers in it, no arrays"),
        ({"output_gate": "both"}, ValueError, "output_gate 'both': expected one of elementwise, headwise"),
        ({"out_dim": 0}, ValueError, "out_dim 0: expected 1 or more"),
        ({"context_dim": 0}, ValueError, "context_dim 0: expected 1 or more"),
        ({"qk_norm": nn.HeadNorm(groups=3, gain="each")}, ValueError, "norm groups 3: expected a divisor"),
        ({"mechanism": "gla", "window": 3}, TypeError, "window"),
        ({"mechanism": "gla", "key_heads": 3}, ValueError, r"key_heads 3: expected a divisor of heads \(2\)"),
        ({"mechanism": "gla", "max_strength": 2.0}, ValueError, "max_strength 2.0: gla has no such gate"),
        ({"mechanism": "linear", "decay": "softplus"}, ValueError, "decay 'softplus': linear has no such"),
        ({"mechanism": "gla", "activation": "gelu"}, ValueError, "activation 'gelu': expected 'silu'"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        nn.Attention(8, 2, rngs=nnx.Rngs(0), **settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Rope("both"), "rope 'both': expected None, 'halves' or 'interleaved'"),
        (lambda: nn.Rope(base=0.0), "rope base 0.0: expected a positive number"),
        (lambda: nn.Rope(fraction=1.5), r"rope fraction 1.5: expected a number in \(0, 1\]"),
        (lambda: nn.HeadNorm(groups=1), "norm groups 1 with a shared gain"),
        (lambda: nn.HeadNorm("batch"), "norm kind 'batch': expected one of rms, rms_offset, layer, l2"),
        (lambda: nn.OutputGate(rank=0), "output_gate rank 0: expected None, or 1 or more"),
        (lambda: nn.Convolution(0), "convolution width 0: expected 1 or more"),
    ],
)
def test_settings_that_make_no_sense_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
