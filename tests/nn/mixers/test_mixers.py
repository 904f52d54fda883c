"""Mixers without attention: by their loops over tokens, padded and packed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.mechanisms import read
from attnjax.models import LanguageModelConfig
from attnjax.nn import make_attention
from attnjax.ops import masks
from tests.daily import daily
from tests.nn.mixers import literal_mixers
from tests.nn.moved import moved, value, value_and_slope

LENGTH, DIM, LENGTHS = 7, 6, (7, 4)
X = np.random.default_rng(5).normal(size=(2, LENGTH, DIM))
MIXERS = (
    "fnet",
    "gmlp(max_length=16)",
    "aft(max_length=16, rank=3)",
    "aft(max_length=16, rank=3, window=2)",
    "hyena(max_length=16, width=5)",
    "convolution(width=4)",
)
SLOPES = (MIXERS[4],)
ORDERS = [
    (text, causal)
    for text in MIXERS
    for causal in (True, False)
    if not (causal and "fnet" in text) and not (not causal and "hyena" in text)
]


@pytest.mark.parametrize(
    ("text", "causal"),
    daily(ORDERS, [order for order in ORDERS if order[1] or order[0] in (MIXERS[0], MIXERS[3])]),
)
def test_it_is_its_loop_over_the_tokens(text: str, causal: bool, x64: None) -> None:
    """Rows of other lengths, with loud padding, and a row of two packed sequences."""
    graphdef, params, plain = moved(make_attention(text, DIM, 2, rngs=nnx.Rngs(0), **_dtype(text)))
    choice = read(text)[0]
    loop = getattr(literal_mixers, choice.row.name)
    window = {"window": choice.options["window"]} if "window" in choice.options else {}
    order = masks.causal() if causal else None
    lengths, packed = masks.lengths(key=jnp.array(LENGTHS)), masks.segments(jnp.array([0] * 3 + [1] * 4))
    padded = np.where(np.arange(LENGTH)[:, None] < np.array(LENGTHS)[:, None, None], 0, 50.0)

    def call(params: Any, x: Any) -> Any:
        layer = nnx.merge(graphdef, params)
        rows = layer(x + padded, mask=lengths if order is None else order & lengths).out
        rows = jnp.where(padded, 0, rows)
        return rows, layer(x[0], mask=packed if order is None else order & packed).out

    (rows, pack), slope, rise = (value_and_slope if text in SLOPES else value)(call, params, X)
    assert slope == pytest.approx(rise, rel=1e-6)
    for row, length in enumerate(LENGTHS):
        expected = loop(plain, X[row, :length], lambda t, s: s <= t or not causal, **window)
        np.testing.assert_allclose(rows[row, :length], expected, atol=1e-9)
    if choice.row.name == "fnet":  # Its places count from the start of each sequence.
        expected = np.concatenate([loop(plain, part, None) for part in (X[0, :3], X[0, 3:])])
    else:
        expected = loop(plain, X[0], lambda t, s: (s <= t or not causal) and (s < 3) == (t < 3), **window)
    np.testing.assert_allclose(pack, expected, atol=1e-9)


@pytest.mark.parametrize(("text", "causal"), ORDERS)
@pytest.mark.parametrize("shape", [(2, 0, DIM), (0, 3, DIM)])
def test_no_tokens_or_no_rows(text: str, causal: bool, shape: tuple[int, ...]) -> None:
    layer, mask = make_attention(text, DIM, 2, rngs=nnx.Rngs(0)), masks.causal() if causal else None
    assert jax.eval_shape(lambda: layer(jnp.ones(shape), mask=mask).out).shape == shape


def _dtype(text: str) -> dict[str, Any]:
    return {} if text == "fnet" else {"param_dtype": jnp.float64}


def test_what_only_reads_both_ways_is_refused_in_a_causal_model() -> None:
    with pytest.raises(InputError, match="fnet reads both ways only, but a decoder is causal"):
        LanguageModelConfig(mechanism="fnet", positions="none")
    with pytest.raises(ValueError, match=r"mask causal\(\): fnet reads both ways only, expected no causal"):
        make_attention("fnet", 4, 1, rngs=nnx.Rngs(0))(jnp.ones((3, 4)), mask=masks.causal())
    with pytest.raises(ValueError, match=r"mask None: hyena is causal only, expected causal\(\) in it"):
        make_attention("hyena", 4, 1, rngs=nnx.Rngs(0))(jnp.ones((3, 4)))


def test_more_tokens_than_there_are_places_are_refused() -> None:
    layer = make_attention("gmlp(max_length=4)", 4, 1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="x has 5 tokens, with those of the cache: gmlp has max_length 4"):
        layer(jnp.ones((5, 4)))


def test_a_token_that_sees_nothing_reads_nothing() -> None:
    layer = make_attention("aft(max_length=4)", 4, 1, rngs=nnx.Rngs(0))
    out = layer(jnp.ones((3, 4)), mask=masks.dense(jnp.eye(3, k=-1, dtype=bool))).out
    assert not out[0].any()
    assert bool(jnp.isfinite(out).all())
