"""The mechanism by which a decoder reads its source."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.models import TransformerConfig
from attnjax.nn.taps import patch
from attnjax.ops import masks
from tests.daily import daily
from tests.models.test_encoder_decoder import B, S, T, build

BY_ROWS = ("local_p(size=2)",)
"""Whose windows lie within the rows of the source, whatever names them."""


@pytest.mark.parametrize(
    ("cross", "kind"),
    daily(
        [("additive & entmax(alpha=1.2)", "ComposedAttention"), ("local_p(size=2)", "LocalAttention")],
        [("additive & entmax(alpha=1.2)", "ComposedAttention")],
    ),
)
def test_the_source_is_read_by_a_mechanism_of_its_own(cross: str, kind: str) -> None:
    """Step by step as at once, with weights that give its output again, and gradients for all of it."""
    model = build(cross_mechanism=cross)
    rng = np.random.default_rng(0)
    source, target = jnp.array(rng.integers(0, 11, (B, S))), jnp.array(rng.integers(0, 9, (B, T)))
    lengths = jnp.array([7, 5, 1])
    memory = jax.jit(lambda s: model.encode(s, lengths).memory)(source)
    whole = jax.jit(lambda m, t: model.decode(t, m, lengths, capture=nn.Capture())[::2])(memory, target)
    cache = model.init_cache(memory, lengths, T)
    step = jax.jit(lambda t, cache: model.decode(t, None, lengths, cache=cache)[:2])
    for i in range(T):
        logits, cache = step(target[:, i : i + 1], cache)
        np.testing.assert_allclose(logits[:, 0], whole[0][:, i], atol=1e-5)
    weights = whole[1]["decoder.0.cross_attention"]
    assert weights.shape == (B, 4, T, S)
    assert not np.asarray(weights)[1, :, :, 5:].any()
    layer = model.decoder[0].cross_attention
    assert type(layer).__name__ == kind
    x = jnp.ones((B, T, 16))

    @jax.jit
    def looked(memory):
        found = layer(x, memory, mask=masks.lengths(key=lengths), capture=nn.Capture())
        again = jnp.einsum("bnts,bsnv->btnv", found.weights, layer.project(memory).values)
        of_rows = layer(x, memory, mask=jnp.arange(S) < lengths[:, None]) if cross in BY_ROWS else found
        return found.out, layer.out(again), of_rows.out

    out, again, of_rows = looked(memory)
    np.testing.assert_allclose(again, out, atol=1e-5)
    np.testing.assert_allclose(of_rows, out, atol=1e-6)
    graphdef, params = nnx.split(model, nnx.Param)
    slope = jax.jit(jax.grad(lambda p: (nnx.merge(graphdef, p)(source, lengths, target).logits ** 2).sum()))
    own = jax.tree.leaves(slope(params)["decoder"][0]["cross_attention"])
    assert all(np.abs(leaf).max() > 0 for leaf in own)


def test_copies_come_from_the_last_cross_attention_and_whole_targets_are_seen() -> None:
    """Step by step as at once, by the formula of the mix; with `whole` a token sees those after it."""
    model = build(source_vocab=9, copy=True, decoder_layers=2)
    rng = np.random.default_rng(0)
    source, target = jnp.array(rng.integers(0, 9, (B, S))), jnp.array(rng.integers(0, 9, (B, T)))
    lengths = jnp.array([7, 5, 1])
    memory = jax.jit(lambda s: model.encode(s, lengths).memory)(source)

    @jax.jit
    def run(target):
        options = {"source": source, "capture": nn.Capture(heads=(1, 2), hidden=True)}
        output = model.decode(target, memory, lengths, **options)
        seen = model.decode(target, memory, lengths, source=source, capture=nn.Capture(layers=(1,)))
        return output.logits, output.weights, output.hidden["decoder_norm"], seen.weights

    logits, some, x, weights = run(target)
    assert {len(w[0]) for w in some.values()} == {2}
    attention = np.asarray(weights["decoder.1.cross_attention"])
    np.testing.assert_array_equal(attention[:, 1:3], some["decoder.1.cross_attention"])

    def mix(x: jax.Array, attention: np.ndarray) -> np.ndarray:
        plain = np.asarray(model._logits(x), np.float64)
        gate = 1 / (1 + np.exp(-np.asarray(model.copying.gate(x), np.float64)))[..., None]
        words = np.exp(plain - plain.max(-1, keepdims=True))
        mixed = gate * words / words.sum(-1, keepdims=True)
        for b, t, s in np.ndindex(B, T, S):
            mixed[b, t, source[b, s]] += (1 - gate[b, t, 0]) * attention[b, :, t, s].mean()
        return mixed

    np.testing.assert_allclose(np.exp(logits), mix(x, attention), rtol=1e-4, atol=1e-6)

    def tapped(**asked):
        taps = nn.Taps(**asked)
        run = jax.jit(lambda model: model.decode(target, memory, lengths, source=source, capture=taps))
        return run(model)

    site = "decoder.1.cross_attention.weights"
    read = tapped(read=(site, "decoder_norm"), rows=(2, 0))
    plain = jax.jit(lambda model: model.decode(target, memory, lengths, source=source).logits)
    np.testing.assert_array_equal(read.logits, plain(model))
    np.testing.assert_allclose(read.taps[site], attention[:, :, [2, 0]], rtol=1e-5)
    other = rng.dirichlet(np.ones(S), (B, len(attention[0]), T)).astype(np.float32)
    written = tapped(read="decoder_norm", write={site: patch(other)})
    assert list(written.taps) == ["decoder_norm"]
    found = mix(written.taps["decoder_norm"], other)
    np.testing.assert_allclose(np.exp(written.logits), found, rtol=1e-4, atol=1e-6)
    cache = model.init_cache(memory, lengths, T, source=source)
    step = jax.jit(lambda t, cache: model.decode(t, None, lengths, cache=cache)[:2])
    for i in range(T):
        found, cache = step(target[:, i : i + 1], cache)
        np.testing.assert_allclose(found[:, 0], logits[:, i], atol=1e-4)
    other, whole = target.at[:, -1].set((target[:, -1] + 1) % 9), jnp.array([T, T, T - 1])
    np.testing.assert_array_equal(run(other)[0][:, :-1], logits[:, :-1])
    both = jax.jit(lambda target: model.decode(target, memory, lengths, source=source, whole=whole).logits)
    moved = np.abs(both(other) - both(target))[:, :-1].max((1, 2)) > 1e-4
    assert moved.tolist() == [True, True, False]
    with pytest.raises(ValueError, match="source None: its tokens are copied"):
        model.decode(target, memory, lengths)
    with pytest.raises(ValueError, match="source_vocab 11, target_vocab 9: copies need one vocabulary"):
        build(copy=True)


@pytest.mark.parametrize(
    ("cross", "told"),
    [
        ("monotonic", "monotonic is no layer that reads a source for one target token after another"),
        ("coverage", "coverage is no layer that reads a source"),
        ("softmax+window(size=3)", "window is of self-attention, by the places of tokens in one sequence"),
        ("gla", "gla reads no source, it is of self-attention"),
        ("aditive", "unknown mechanism 'aditive'; did you mean additive"),
    ],
)
def test_what_cannot_read_a_source_is_named(cross: str, told: str) -> None:
    with pytest.raises(ValueError, match=rf"model.cross_mechanism is '.*': {told}"):
        TransformerConfig(cross_mechanism=cross)
