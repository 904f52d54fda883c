"""Layers beside softmax attention: their formula with rotations, their caches, what they refuse."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import attnjax as aj
from attnjax import nn
from attnjax.mechanisms import read
from attnjax.models import LanguageModel, LanguageModelConfig
from attnjax.ops import comparisons, masks
from attnjax.ops.depth import depth_attention
from attnjax.ops.path import path_scores
from tests.daily import daily
from tests.nn.latent.literal_latent import LITERAL
from tests.nn.latent.made import T, compiled, make, near, normal, tokens

pytestmark = pytest.mark.usefixtures("x64")
every_layer = pytest.mark.parametrize("text", LITERAL)


@every_layer
def test_is_its_formula(text: str) -> None:
    layer, x = compiled(text), tokens()
    near(layer.whole(x)[1], LITERAL[text](layer.module, np.asarray(x[1])))


STREAMING = [text for text in LITERAL if read(text)[0].row.streaming]


@pytest.mark.parametrize(
    "text",
    daily(
        STREAMING,
        [text for text in STREAMING if text.startswith(("mla", "selective", "path", "deltaformer"))],
    ),
)
def test_a_padded_prefill_and_steps_are_one_pass(text: str) -> None:
    """Rows of 4 and 3 tokens in one prefill, then two more tokens for each."""
    layer, x, starts, rows = compiled(text), tokens(), np.array([4, 3]), np.arange(2)
    expected = layer.whole(x)
    empty = layer.module.empty_cache((2,), T, jnp.float64)
    first = x[:, :4].at[1, 3].set(jnp.nan)
    out, cache = layer.step(first, masks.causal(empty.length) & masks.lengths(key=starts), empty)
    near(out[0], expected[0, :4])
    near(out[1, :3], expected[1, :3])
    for step in range(2):
        out, cache = layer.step(x[rows, starts + step][:, None], masks.causal(cache.length), cache)
        near(out[:, 0], expected[rows, starts + step])
    assert cache.length.tolist() == [6, 5]


@pytest.mark.parametrize("text", daily(STREAMING, ["selective", "path", "deltaformer"]))
def test_steps_after_padding_on_the_left_are_those_without(text: str) -> None:
    """Rows after 1 and 2 tokens that are none; the first real one is a first token."""
    layer, x, padding = compiled(text), tokens(), jnp.array([1, 2])
    expected, cache = layer.whole(x), layer.module.empty_cache((2,), T, jnp.float64)
    moved = jnp.stack([jnp.roll(row, by, axis=0) for row, by in zip(x, padding.tolist(), strict=True)])
    moved = moved.at[0, :1].set(jnp.nan).at[1, :2].set(jnp.nan)
    outs = []
    for first, last in ((0, 3), (3, 4), (4, 6)):
        mask = masks.causal(cache.length) & ~masks.lengths(key=padding)
        out, cache = layer.step(moved[:, first:last], mask, cache)
        outs.append(out)
    out = jnp.concatenate(outs, axis=1)
    near(out[0, 1:], expected[0, : T - 1])
    near(out[1, 2:], expected[1, : T - 2])


def test_mla_absorbed_and_not_are_one_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = compiled("mla").module, tokens()
    outs = []
    for absorbs in (True, False):
        monkeypatch.setattr(type(layer), "_absorbs", lambda self, queries, absorbs=absorbs: absorbs)
        outs.append(layer(x, mask=masks.causal(), capture=nn.Capture()))
    near(outs[0].out, outs[1].out)
    near(outs[0].weights.sum(-1), np.ones((2, 2, T)))


def test_mla_keeps_few_numbers_of_a_token() -> None:
    layer = make("mla(kv_rank=5, rope_dim=2)", heads=4)
    cache = layer.empty_cache((1,), 7, jnp.float64)
    assert sum(x.size for x in (cache.keys, cache.values)) == 7 * (5 + 2)


def test_mla_reads_a_context_too() -> None:
    layer, x = compiled("mla").module, tokens()
    near(layer(x, x, mask=masks.causal()).out, layer(x, mask=masks.causal()).out)


def test_the_captured_weights_of_differential_attention_are_a_difference() -> None:
    layer, x = compiled("differential(layer=1)").module, tokens()
    out, _, weights = layer(x, mask=masks.causal(), capture=nn.Capture())
    values = jnp.repeat(layer.value(x), 2, axis=-2)
    heads = layer.norm(jnp.einsum("bnts,bsnv->btnv", weights, values)) * (1 - layer.start)
    near(layer.out(heads), out)
    assert (weights < 0).any()


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        ("mla", {"kv_heads": 1}, "kv_heads is 1: mla takes no kv_heads"),
        ("mla", {"qk_norm": True}, "qk_norm is True: mla takes no qk_norm"),
        ("mla(rope_dim=3)", {}, "rope 'halves': expected an even head size, got 3"),
        ("mla(kv_rank=0)", {}, "mla: kv_rank is 0: expected a whole number, 1 or more"),
        ("differential", {"qk_norm": True}, "qk_norm is True: differential takes no qk_norm"),
        ("differential", {"head_dim": None, "heads": 3}, r"heads 3: expected 2·heads to divide dim \(8\)"),
        ("differential", {"head_dim": 3}, "rope 'halves': expected an even head size, got 3"),
        ("path", {"rope": "halves"}, "rope is 'halves': path takes no rope; of a model's positions choose"),
        ("multi_token", {"heads": 1, "kv_heads": 1}, r"group 2: expected a divisor of heads \(1\)"),
        ("hstu", {"normalizer": aj.cog()}, r"normalizer cog\(\): hstu has a normaliser of its own"),
        ("tensor_product", {"kv_heads": 1}, "kv_heads is 1: tensor_product takes no kv_heads"),
        ("tensor_product(rank=0)", {}, "tensor_product: rank is 0: expected a whole number, 1 or more"),
        ("mixture_of_attention", {"kv_heads": 3}, "kv_heads 3: expected None or 1, all heads share"),
        ("mixture_of_attention(active=4)", {}, r"active 4: expected at most the heads \(3\)"),
        ("mixture_of_depths(share=0.0)", {}, "mixture_of_depths: share is 0.0: expected a number, above 0"),
        ("mixture_of_heads(shared=2)", {}, r"shared 2: expected fewer than the heads \(2\)"),
        ("mixture_of_heads(active=2)", {}, "active 2: expected at most 1, the heads that are not shared"),
        (
            "adaptive_span(longest=4, start=4.0)",
            {},
            r"start 4.0: expected tokens above 0 and below longest \(4",
        ),
    ],
)
def test_what_a_layer_cannot_do_is_refused(text: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(text, **asked)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("mla", {"comparison": comparisons.cosine()}),
        ("path", {"comparison": comparisons.dot()}),
        ("multi_token", {"comparison": comparisons.dot()}),
        ("multi_token", {"normalizer": aj.sparsemax()}),
    ],
)
def test_a_rule_of_a_call_that_would_get_lost_is_refused(text: str, rule: dict[str, Any]) -> None:
    (name,) = rule
    with pytest.raises(ValueError, match=f"^{name} is .*: .*Attention takes none, it has its own$"):
        make(text)(tokens(), mask=masks.causal(), **rule)


def test_gates_of_heads_are_their_formula() -> None:
    """The parts of `output_gate` and `mixture_of_heads` around one softmax attention."""
    x = tokens()
    for text in ("output_gate", "output_gate(headwise=True)", "mixture_of_heads(shared=1, active=1)"):
        layer = make(text, heads=4)
        (gate,) = layer.made.values()
        heads = {}

        def kept(got: jax.Array, x: jax.Array, heads: Any = heads, gate: Any = gate) -> jax.Array:
            heads["before"], heads["after"] = got, gate(got, x)
            return heads["after"]

        layer.made = {part: kept for part in layer.made}
        layer(x, mask=masks.causal())
        near(heads["after"], heads["before"] * literal_gate(text, gate, np.asarray(x)))


def literal_gate(text: str, gate: Any, x: np.ndarray) -> np.ndarray:
    if text.startswith("output_gate"):
        raw = np.tensordot(x, gate.up.kernel[...], 1)
        return (1 / (1 + np.exp(-raw))).reshape(*x.shape[:2], 4, -1)
    logits, balance = (np.tensordot(x, part.kernel[...], 1) for part in (gate.router, gate.balance))
    found = np.zeros((*x.shape[:2], 4, 1))
    for place in np.ndindex(x.shape[:2]):
        a, b = np.exp(balance[place]) / np.exp(balance[place]).sum()
        routed = np.exp(logits[place][1:]) / np.exp(logits[place][1:]).sum()
        found[place][0], best = a, int(routed.argmax())
        found[place][1 + best] = b * routed[best]
    return found


@pytest.mark.parametrize("text", ["selective", "path", "deltaformer"])
def test_what_is_causal_only_asks_for_a_causal_mask_and_its_own_cache(text: str) -> None:
    layer, x = compiled(text).module, tokens()
    with pytest.raises(ValueError, match=rf"mask None: {text} is causal only, expected causal\(\) in it"):
        layer(x)
    with pytest.raises(ValueError, match=f"context is given: {text} takes none, it is of self-attention"):
        layer(x, x, mask=masks.causal())
    if text != "selective":
        return
    other = make("tensor_product").empty_cache((2,), T, jnp.float64)
    with pytest.raises(
        TypeError, match=f"cache is a KVCache: expected the {layer.cache_kind.__name__} of {text}"
    ):
        layer(x, mask=masks.causal(), cache=other)


@pytest.mark.parametrize(
    "text",
    daily(["selective", "multi_token(queries=3, keys=4)", "path", "deltaformer"], ["selective", "path"]),
)
def test_a_segment_is_a_sequence_of_its_own(text: str) -> None:
    layer, x, ids = compiled(text), tokens(), jnp.array([0, 0, 0, 1, 1, 1])
    out, _ = layer.step(x, masks.causal() & masks.segments(ids))
    alone = jax.jit(lambda x: layer.module(x, mask=masks.causal(), positions=jnp.arange(3) + 3).out)
    near(out[:, 3:], alone(x[:, 3:]))


def test_path_scores_do_not_depend_on_the_chunks() -> None:
    query, key, w = (normal(2, 7, heads, 3, seed=heads) for heads in (4, 2, 2))
    w, strength = w / jnp.linalg.norm(w, axis=-1, keepdims=True), 2 * jax.nn.sigmoid(normal(2, 7, 2))
    scores, moved = path_scores(query, key, w, strength, chunk=1)
    for chunk in (3, 64):
        others = path_scores(query, key, w, strength, chunk=chunk)
        near(jnp.tril(others[0]), jnp.tril(scores))
        near(others[1], moved)


def test_value_residual_reads_the_values_of_the_first_layer() -> None:
    """Over one x two layers read a·x V₁ + b·x V₂, which is x (a·V₁ + b·V₂)."""
    x, depth, layers = tokens(), nn.Depth(), [make("value_residual"), make("value_residual")]
    layers[1].value.kernel[...] = normal(*layers[1].value.kernel.shape)
    layers[1].shares[...] = jnp.array([0.3, -1.5])
    outs = [layer(x, mask=masks.causal(), depth=depth).out for layer in layers]
    near(outs[0], layers[0](x, mask=masks.causal()).out)
    joined = 0.3 * layers[0].value.kernel[...] - 1.5 * layers[1].value.kernel[...]
    layers[1].value.kernel[...] = joined
    near(outs[1], layers[1](x, mask=masks.causal()).out)
    with pytest.raises(ValueError, match=r"the first layer \[2, 6, 2, 4\]: expected \[2, 6, 1, 4\]"):
        make("value_residual", kv_heads=1)(x, mask=masks.causal(), depth=depth)


def test_a_model_hands_values_through_its_layers_and_decodes() -> None:
    pattern = "value_residual+softmax+value_residual"
    config = LanguageModelConfig(dim=8, heads=2, hidden=8, layers=3, mechanism=pattern)
    model = LanguageModel(config, vocab=11, rngs=nnx.Rngs(0))
    model.blocks[2].attention.shares[...] = jnp.array([1.5, 0.5], jnp.float32)
    ids = jnp.arange(12).reshape(2, 6) % 11
    graphdef, params = nnx.split(model, nnx.Param)

    def loss(params: nnx.State) -> tuple[jax.Array, jax.Array]:
        logits = nnx.merge(graphdef, params)(ids).logits
        return (logits**2).sum(), logits

    gradient, whole = jax.jit(jax.grad(loss, has_aux=True))(params)
    step = jax.jit(lambda ids, cache: model(ids, cache=cache)[:2])
    first, cache = step(ids[:, :3], model.init_cache(2, 6))
    rest, _ = step(ids[:, 3:], cache)
    np.testing.assert_allclose(jnp.concatenate([first, rest], 1), whole, rtol=1e-4, atol=1e-5)
    found = [jnp.abs(gradient["blocks"][i]["attention"]["shares"][...]).min() for i in (0, 2)]
    assert found[0] == 0 < found[1]


def test_what_needs_all_tokens_at_once_has_no_cache() -> None:
    with pytest.raises(ValueError, match="multi_token needs all tokens at once: there is no cache"):
        make("multi_token").empty_cache((1,), 3, jnp.float64)


def test_attention_over_depth_is_its_formula() -> None:
    sources, query, gain = normal(3, 2, 5), normal(5, seed=1), normal(5, seed=2)
    got = depth_attention(query, sources, gain)
    for b in range(2):
        y = np.asarray(sources[:, b])
        scores = [gain * y_l / np.sqrt((y_l**2).mean() + 1e-6) @ query for y_l in y]
        weights = np.exp(scores) / np.exp(scores).sum()
        near(got[b], weights @ y)
    with pytest.raises(ValueError, match=r"query has shape \[4\]: expected \[5\] \(D\)"):
        depth_attention(query[:4], sources, gain)
