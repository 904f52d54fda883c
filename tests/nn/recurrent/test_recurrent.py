"""Whole recurrent layers: each is its paper's loop, padded on both sides and packed, and in parts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.mechanisms import read
from attnjax.models import LanguageModel, LanguageModelConfig
from attnjax.nn import make_attention
from attnjax.ops import masks
from tests.daily import daily
from tests.nn.moved import moved
from tests.nn.recurrent import literal_recurrent as literal

DIM, HEADS, T = 8, 2, 9
STARTS, ENDS = np.array([0, 2]), np.array([9, 8])
LAYERS: dict[str, dict[str, Any]] = {
    "hgrn(layer=1, layers=2)": {"bound": 0.5},
    "ttt_linear(size=4)": {"size": 4},
    "mamba3(state=6, fraction=0.7)": {"state": 6, "fraction": 0.7},
    "rwkv6_time_mix(rank=3, decay_rank=2)": {},
    "rwkv7_time_mix(rank=3, value_rank=2, gate_rank=4)": {},
}
SMALL_RWKV7 = "rwkv7_time_mix(rank=2, value_rank=2, gate_rank=2)"

pytestmark = pytest.mark.usefixtures("x64")


def made(text: str) -> tuple[Any, Any, dict[str, Any]]:
    layer = make_attention(text, DIM, HEADS, rngs=nnx.Rngs(0), param_dtype=jnp.float64)
    return moved(layer, scale=1.5)


def near(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("text", LAYERS)
def test_it_is_its_loop_with_padding_on_both_sides(text: str) -> None:
    """Two rows, the second from 2 to 8 tokens; and packed."""
    graphdef, params, plain = made(text)
    layer, row = nnx.merge(graphdef, params), read(text)[0].row
    x = np.random.default_rng(2).normal(size=(2, T, DIM))
    loop = getattr(literal, row.name)
    loud = np.where((np.arange(T) < STARTS[:, None]) | (np.arange(T) >= ENDS[:, None]), np.nan, 0)[..., None]
    mask = masks.causal() & masks.lengths(key=jnp.asarray(ENDS)) & ~masks.lengths(key=jnp.asarray(STARTS))
    ids = jnp.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
    packed = mask & masks.segments(ids) if row.packs else mask
    out, apart = jax.jit(lambda x: (layer(x, mask=mask).out, layer(x, mask=packed).out))(x + loud)
    whole = loop(plain, x[0], **LAYERS[text])
    near(out[0], whole)
    near(out[1, 2:8], loop(plain, x[1, 2:8], **LAYERS[text]))
    for span in (slice(2, 4), slice(4, 7), slice(7, 8)) if row.packs else ():
        near(apart[1, span], loop(plain, x[1, span], **LAYERS[text]))


@pytest.mark.parametrize("text", daily(LAYERS, list(LAYERS)[:4]))
def test_in_parts_it_is_its_loop(text: str) -> None:
    """4 and 3 tokens in a prefill, and the rest one by one."""
    graphdef, params, plain = made(text)
    layer, x = nnx.merge(graphdef, params), np.random.default_rng(2).normal(size=(2, T, DIM))
    whole = getattr(literal, read(text)[0].row.name)(plain, x[0], **LAYERS[text])
    step = jax.jit(lambda x, mask, cache: layer(x, mask=mask, cache=cache)[:2])
    cache, counts = layer.empty_cache((2,), T, jnp.float64), jnp.array([4, 3])
    first = jnp.stack([x[0, :4], x[0, :4]]).at[1, 3].set(jnp.nan)
    part, cache = step(first, masks.causal() & masks.lengths(key=counts), cache)
    near(part[0], whole[:4])
    near(part[1, :3], whole[:3])
    for i in range(5):
        tokens = jnp.stack([x[0, 4 + i : 5 + i], x[0, 3 + i : 4 + i]])
        part, cache = step(tokens, masks.causal(cache.length), cache)
        near(part[:, 0], whole[np.array([4, 3]) + i])
    assert cache.length.tolist() == [9, 8]


@pytest.mark.parametrize("text", LAYERS)
@pytest.mark.parametrize("shape", [(2, 0, DIM), (0, 3, DIM)])
def test_no_tokens_or_no_rows(text: str, shape: tuple[int, ...]) -> None:
    layer = make_attention(text, DIM, HEADS, rngs=nnx.Rngs(0))
    assert jax.eval_shape(lambda: layer(jnp.ones(shape), mask=masks.causal()).out).shape == shape


def test_a_state_goes_on_anywhere_in_a_mini_batch() -> None:
    graphdef, params, plain = made("ttt_linear(size=4)")
    layer, x = nnx.merge(graphdef, params), np.random.default_rng(3).normal(size=(1, 11, DIM))
    whole, cache = literal.ttt_linear(plain, x[0], 4), layer.empty_cache((1,), 11, jnp.float64)
    step = jax.jit(lambda x, cache: layer(x, mask=masks.causal(cache.length), cache=cache)[:2])
    for start, stop in ((0, 3), (3, 11)):
        out, cache = step(x[:, start:stop], cache)
        near(out[0], whole[start:stop])


def test_rwkv7_reads_the_values_of_the_first_layer() -> None:
    text = "rwkv7_time_mix(rank=3, value_rank=2, gate_rank=4)"
    graphdef, params, plain = made(text)
    layer, x = nnx.merge(graphdef, params), np.random.default_rng(4).normal(size=(2, 5, DIM))
    depth = nn.Depth()
    layer(x[:1], mask=masks.causal(), depth=depth)
    out = layer(x[1:], mask=masks.causal(), depth=depth).out
    near(out[0], literal.rwkv7_time_mix(plain, x[1], np.asarray(depth.values[0])))
    other = make_attention(text, DIM, 4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"the first layer \[1, 5, 2, 4\]: expected \[1, 5, 4, 2\]"):
        other(x[1:], mask=masks.causal(), depth=depth)


@pytest.mark.parametrize(
    "text",
    daily(["ttt_linear(size=4)", SMALL_RWKV7], [SMALL_RWKV7]),
)
def test_a_model_of_them_decodes(text: str) -> None:
    config = LanguageModelConfig(dim=8, heads=2, hidden=8, layers=2, mechanism=text, positions="none")
    model = LanguageModel(config, vocab=11, rngs=nnx.Rngs(0))
    ids = jnp.arange(12).reshape(2, 6) % 11
    whole = jax.jit(lambda ids: model(ids).logits)(ids)
    step = jax.jit(lambda ids, cache: model(ids, cache=cache)[:2])
    first, cache = step(ids[:, :4], model.init_cache(2, 6))
    rest, _ = step(ids[:, 4:], cache)
    np.testing.assert_allclose(jnp.concatenate([first, rest], 1), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hgrn(layer=2, layers=2)", "layer 2: expected one of the 2 layers, from 0"),
        ("ttt_linear(size=0)", "ttt_linear: size is 0: expected a whole number, 1 or more"),
        ("mamba3(fraction=1.5)", "mamba3: fraction is 1.5: expected a number, above 0, at most 1"),
        ("mamba3(state=2)", r"fraction 0.5: expected \(0, 1\], and to rotate pairs of 2 entries"),
    ],
)
def test_what_cannot_be_made_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_attention(text, DIM, HEADS, rngs=nnx.Rngs(0))


def test_heads_that_do_not_fit_and_masks_that_are_not_causal_are_named() -> None:
    for text, told in (("ttt_linear", "that gives even sizes"), ("rwkv6_time_mix", ""), ("mamba3", "")):
        with pytest.raises(ValueError, match=rf"heads 5: expected a divisor of .*dim \(\d+\) ?{told}"):
            make_attention(text, DIM, 5, rngs=nnx.Rngs(0))
    layer = make_attention("ttt_linear", DIM, HEADS, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="mask None: ttt_linear is causal only, expected causal"):
        layer(jnp.ones((3, DIM)))
    with pytest.raises(ValueError, match="mask has segments: ttt_linear cannot keep packed sequences apart"):
        layer(jnp.ones((3, DIM)), mask=masks.causal() & masks.segments(jnp.array([0, 0, 1])))
