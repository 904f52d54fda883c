"""Layers of the classic mechanisms: made as a config names them, by their formulas, padding, refusals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.mechanisms import Layer, find, table
from attnjax.nn import Capture, make_attention
from attnjax.nn.classic.pointer import PointerGate
from attnjax.nn.classic.spans import SelfAttentiveSpanExtractor
from attnjax.ops import classic

READERS = ["local_p(size=2)", "monotonic", "coverage"]
X, CONTEXT = (jax.random.normal(jax.random.key(i), (2, n, 8)) for i, n in enumerate((3, 5)))
MASK = np.arange(5) < np.array([[5], [3]])


@pytest.mark.parametrize("name", READERS)
def test_a_reader_sees_the_context_that_is_there_and_keeps_its_dtype(name: str) -> None:
    layer = make_attention(name, 8, 2, rngs=nnx.Rngs(0))
    out = nnx.jit(lambda layer, x: layer(X, x, mask=MASK).out)
    padded, zeros = (out(layer, jnp.where(MASK[..., None], CONTEXT, filling)) for filling in (jnp.nan, 0))
    np.testing.assert_array_equal(padded, zeros)
    half = make_attention(name, 8, 2, context_dim=4, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    x, context = X.astype(jnp.bfloat16), CONTEXT[..., :4].astype(jnp.bfloat16)
    assert jax.eval_shape(lambda x, context: half(x, context).out, x, context).dtype == jnp.bfloat16
    with pytest.raises(ValueError, match=r"context \[2, 5, 8\]: expected \(\*B, length, 4\)"):
        half(X, CONTEXT)


def test_captured_weights_are_those_of_the_heads_and_rows_asked_for() -> None:
    layer = make_attention("coverage", 8, 2, rngs=nnx.Rngs(0))
    whole = layer(X, CONTEXT, capture=Capture()).weights
    np.testing.assert_array_equal(
        layer(X, CONTEXT, capture=Capture(heads=(1,), rows=(0, 2))).weights, whole[:, 1:, [0, 2]]
    )


def test_monotonic_layers_move_in_steps_or_in_expectation_with_noise_of_a_key() -> None:
    layer = make_attention("monotonic", 8, 2, rngs=nnx.Rngs(0))
    layer.offset[...] = jnp.zeros(2)
    hard = layer(X, CONTEXT, hard=True, capture=Capture()).weights
    assert set(np.unique(hard)) == {0, 1}
    stops = np.where(hard.sum(-1) > 0, hard.argmax(-1), 5)
    assert (np.diff(stops, axis=-1) >= 0).all()
    expected, noisy, other = (
        layer(X, CONTEXT, noise=noise).out for noise in (None, jax.random.key(0), jax.random.key(1))
    )
    assert not np.allclose(expected, noisy)
    assert not np.allclose(noisy, other)


def test_local_layers_predict_a_position_inside_of_the_text_that_is_there() -> None:
    layer = make_attention("local_p(size=1)", 8, 2, rngs=nnx.Rngs(0))
    layer.hidden.kernel[...] = jnp.ones_like(layer.hidden.kernel[...])
    layer.v[...] = jnp.full_like(layer.v[...], 100.0)
    # p is the length of the text: its last token alone is near.
    out = layer(jnp.ones((2, 1, 8)), CONTEXT, mask=MASK).out
    value = jnp.stack([layer.value(CONTEXT)[0, 4], layer.value(CONTEXT)[1, 2]])[:, None]
    np.testing.assert_allclose(out, layer.out(value * np.exp(-2.0)), rtol=1e-4, atol=1e-6)


def test_spans_are_read_by_attention_inside_of_them() -> None:
    extractor = SelfAttentiveSpanExtractor(8, widths=3, width_dim=2, rngs=nnx.Rngs(0))
    spans = np.array([[[0, 0], [1, 4], [2, 3]], [[0, 4], [3, 3], [1, 2]]])
    mask = np.array([[True, True, True], [True, True, False]])
    found = nnx.jit(lambda extractor, x: extractor(x, spans, mask=mask))(extractor, CONTEXT)
    x, kernel, bias = (np.asarray(p) for p in (CONTEXT, extractor.scores.kernel, extractor.scores.bias))
    for b, m in np.ndindex(2, 3):
        first, last = spans[b, m]
        inside = x[b, first : last + 1]
        scores = np.exp(inside @ kernel[:, 0] + bias[0])
        width = extractor.of_widths.embedding[...][min(last - first, 2)]
        expected = mask[b, m] * np.concatenate([scores @ inside / scores.sum(), width])
        np.testing.assert_allclose(found[b, m], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="widths 3, width_dim None: expected both, or neither"):
        SelfAttentiveSpanExtractor(8, widths=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"spans \[2, 3\]: expected \(\*B, M, 2\)"):
        extractor(CONTEXT, spans[..., 0])


def test_hierarchical_pooling_pools_words_and_then_sentences() -> None:
    pool = make_attention("hierarchical", 8, 1, rngs=nnx.Rngs(0))
    x, mask = jax.random.normal(jax.random.key(2), (2, 3, 5, 8)), np.ones((2, 3, 5), bool)
    mask[0, 1, 2:], mask[1, 2] = False, False
    found = nnx.jit(lambda pool, x: pool(x, mask=mask))(pool, jnp.where(mask[..., None], x, jnp.nan))

    def pooled(part: Any, x: np.ndarray) -> np.ndarray:
        kernel, bias, query = (
            np.asarray(p) for p in (part.features.kernel, part.features.bias, part.queries)
        )
        scores = np.exp(np.tanh(x @ kernel + bias) @ query[0])
        return scores @ x / scores.sum()

    for b in range(2):
        sentences = [
            pooled(pool.of_words, np.asarray(x)[b, m, mask[b, m]]) for m in range(3) if mask[b, m].any()
        ]
        np.testing.assert_allclose(found.out[b, 0], pooled(pool.of_sentences, np.stack(sentences)), rtol=1e-4)
    assert found.weights[1, 0, 2] == 0


def test_pooling_learns_hops_that_read_different_tokens() -> None:
    pool = make_attention("self_attentive_pooling", 8, 3, rngs=nnx.Rngs(0))

    def penalty(pool: Any) -> jax.Array:
        return classic.redundancy(pool(CONTEXT).weights).mean()

    step = nnx.jit(lambda pool: nnx.state(nnx.grad(penalty)(pool)))
    before = penalty(pool)
    for _ in range(20):
        nnx.update(pool, jax.tree.map(lambda p, g: p - g, nnx.state(pool), step(pool)))
    assert penalty(pool) < 0.8 * before


def test_a_pointer_gate_takes_the_features_that_it_was_made_for() -> None:
    gate = PointerGate(8, 8, rngs=nnx.Rngs(0))
    expected = jnp.concatenate([X, X + 1], -1) @ gate.linear.kernel[..., 0] + gate.linear.bias
    np.testing.assert_allclose(gate(X, X + 1), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"features are \(8,\) wide: expected \(8, 8\)"):
        gate(X)


@pytest.mark.parametrize(
    "name", [name for name, row in table(Layer).items() if ".nn.classic." in str(row.target)]
)
def test_a_row_takes_its_options_and_refuses_others(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} takes no option 'sise'"):
        find(name).checked({"sise": 3})
    with pytest.raises(InputError, match=f"model.mechanism: {name} takes .*, and here it is given tokens"):
        find(name).require_takes("tokens", "model.mechanism")
    if name != "pointer":
        with pytest.raises(InputError, match=f"kv_heads is 1: {name} takes no kv_heads"):
            make_attention(name, 8, 2, kv_heads=1, rngs=nnx.Rngs(0))
