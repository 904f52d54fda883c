"""The encoder of texts: padding on both sides, shared layers, every head, capture, its formula."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models import Encoder, EncoderConfig
from attnjax.nn import Capture
from attnjax.nn.activation import ACTIVATIONS

SMALL: dict[str, Any] = {"dim": 8, "heads": 2, "layers": 2, "hidden": 12, "max_length": 16}
BERT: dict[str, Any] = {
    "positions": "learned",
    "norm_placement": "post",
    "embedding_norm": True,
    "embedding_scale": 1.0,
    "token_types": 2,
    "pooler": "tanh",
    "activation": "gelu_exact",
    "head_activation": "gelu_exact",
    "tie_embeddings": True,
}
ALBERT = BERT | {"embedding_width": 5, "distinct_layers": 1}
TOKENS = jax.random.randint(jax.random.key(2), (2, 7), 0, 11)
LENGTHS = jnp.array([7, 4])


def build(**fields: Any) -> Encoder:
    """A small model with every parameter off its initial value."""
    model = Encoder(EncoderConfig(**SMALL | fields), vocab=11, rngs=nnx.Rngs(0))
    leaves, tree = jax.tree.flatten(nnx.state(model, nnx.Param))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [x + 0.3 * jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    nnx.update(model, jax.tree.unflatten(tree, moved))
    return model


@pytest.mark.parametrize("fields", [BERT | {"head": "masked_lm"}, {"positions": "t5", "head": "labels"}])
def test_padding_on_either_side_changes_nothing(fields: dict) -> None:
    model = jax.jit(build(**fields))
    right = model(TOKENS, lengths=LENGTHS)
    inside = jnp.arange(7) < LENGTHS[:, None]
    same = model(jnp.where(inside, TOKENS, 3), mask=inside)
    moved = jnp.where(jnp.arange(7) < 3, 5, jnp.roll(TOKENS[1], 3))
    left = model(jnp.stack([TOKENS[0], moved]), mask=jnp.stack([inside[0], jnp.arange(7) >= 3]))
    for got, at in ((same, slice(0, 4)), (left, slice(3, 7))):
        np.testing.assert_allclose(got.states[1, at], right.states[1, :4], atol=1e-5)
        np.testing.assert_allclose(got.pooled, right.pooled, atol=1e-5)
    assert not np.allclose(model(TOKENS).states[1, :4], right.states[1, :4], atol=1e-2)


def test_the_mean_of_a_text_is_that_of_its_tokens_wherever_padding_stands() -> None:
    model = jax.jit(build(positions="t5", pooling="mean"))
    output = model(TOKENS, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        np.testing.assert_allclose(output.pooled[row], output.states[row, :length].mean(0), rtol=1e-5)
    left = jnp.stack([TOKENS[0], jnp.roll(TOKENS[1], 3)])
    inside = jnp.arange(7) >= (7 - LENGTHS)[:, None]
    np.testing.assert_allclose(model(left, mask=inside).pooled, output.pooled, atol=1e-5)
    whole = model(TOKENS)
    np.testing.assert_allclose(whole.pooled, whole.states.mean(1), rtol=1e-5, atol=1e-6)


def test_the_head_of_masked_tokens_is_its_formula() -> None:
    model = build(**ALBERT | {"head": "masked_lm"})
    output, head, embedding = model(TOKENS), model.head, model.embedding
    x = ACTIVATIONS["gelu_exact"](output.states @ head.transform.kernel[...] + head.transform.bias[...])
    assert x.shape == (2, 7, 5)
    x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
    x = x * head.norm.scale[...] + head.norm.bias[...]
    expected = x @ embedding.tokens.embedding[...].T + head.bias[...]
    np.testing.assert_allclose(output.logits, expected, rtol=1e-4, atol=1e-4)
    assert output.logits.dtype == jnp.float32


def test_the_pooler_and_heads_of_labels_are_their_formulas() -> None:
    model = build(**BERT | {"head": "labels", "labels": 3, "head_activation": None, "pair_head": True})
    output = model(TOKENS)
    pooled = jnp.tanh(output.states[:, 0] @ model.pooler.kernel[...] + model.pooler.bias[...])
    np.testing.assert_allclose(output.pooled, pooled, atol=1e-5)
    logits = pooled @ model.head.output.kernel[...] + model.head.output.bias[...]
    np.testing.assert_allclose(output.logits, logits, atol=1e-5)
    np.testing.assert_allclose(output.pair, model.pair(pooled), atol=1e-5)
    model = build(**BERT | {"head": "token_labels", "labels": 1, "pooler": None})
    output = model(TOKENS)
    x = ACTIVATIONS["gelu_exact"](
        output.states @ model.head.transform.kernel[...] + model.head.transform.bias[...]
    )
    expected = x @ model.head.output.kernel[...] + model.head.output.bias[...]
    np.testing.assert_allclose(output.logits, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(output.pooled, output.states[:, 0])


def test_shared_layers_are_one_block_applied_several_times() -> None:
    shared, twice = build(**BERT | {"layers": 4, "distinct_layers": 2}), build(**BERT | {"layers": 4})
    assert len(shared.blocks) == 2
    for i, block in enumerate(twice.blocks):
        nnx.update(block, nnx.state(shared.blocks[i // 2]))
    for part in ("embedding", "pooler"):
        nnx.update(getattr(twice, part), nnx.state(getattr(shared, part)))
    ours, theirs = (model(TOKENS, capture=Capture(layers=(3,))) for model in (shared, twice))
    np.testing.assert_allclose(ours.states, theirs.states, atol=1e-6)
    assert list(ours.weights) == ["blocks.3.attention"]
    np.testing.assert_allclose(ours.weights["blocks.3.attention"].sum(-1), 1, rtol=1e-5)


def test_a_causal_encoder_sees_no_later_token_and_its_last_one_stands_for_the_text() -> None:
    model = jax.jit(build(positions="learned", causal=True, pooling="last"))
    whole = model(TOKENS)
    changed = model(TOKENS.at[:, 4:].set(3))
    np.testing.assert_allclose(changed.states[:, :4], whole.states[:, :4], atol=1e-5)
    assert not np.allclose(changed.states[:, 4:], whole.states[:, 4:], atol=1e-2)
    np.testing.assert_array_equal(whole.pooled, whole.states[:, -1])
    right = model(TOKENS, lengths=LENGTHS)
    np.testing.assert_array_equal(right.pooled[1], right.states[1, 3])
    inside = jnp.arange(7) < LENGTHS[:, None]
    np.testing.assert_allclose(model(TOKENS, mask=inside).pooled, right.pooled, atol=1e-5)
    moved = jnp.stack([TOKENS[0], jnp.roll(TOKENS[1], 3)])
    left = model(moved, mask=jnp.stack([inside[0], jnp.arange(7) >= 3]))
    np.testing.assert_allclose(left.pooled, right.pooled, atol=1e-5)


def test_types_and_positions_reach_the_embedding() -> None:
    model = build(**BERT)
    states = model(TOKENS).states
    ones, later = jnp.ones_like(TOKENS), jnp.arange(7) + 3
    np.testing.assert_array_equal(model(TOKENS, types=0 * ones, positions=jnp.arange(7)).states, states)
    assert not np.allclose(model(TOKENS, types=ones).states, states, atol=1e-2)
    assert not np.allclose(model(TOKENS, positions=later).states, states, atol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokens": TOKENS[0]}, r"tokens \[7\]: expected \(B, T\)"),
        ({"lengths": LENGTHS[:1]}, r"lengths \[1\]: expected \[2\] for the tokens \[2, 7\]"),
        ({"mask": TOKENS[:1] > 0}, r"mask \[1, 7\]: expected \[2, 7\] for the tokens \[2, 7\]"),
        ({"mask": TOKENS > 0, "lengths": LENGTHS}, "lengths and mask: expected one of the two"),
        ({"capture": Capture(layers=(2,))}, r"capture.layers \(2,\): there are 2"),
    ],
)
def test_what_does_not_fit_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()(**{"tokens": TOKENS} | arguments)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layers": 0}, "^model.layers is 0: it must be a whole number"),
        ({"distinct_layers": 3}, r"^model.distinct_layers is 3: it must divide model.layers \(2\)$"),
        ({"token_types": -1}, "^model.token_types is -1: it must be 0 or more$"),
        (
            {"head": "words"},
            "^model.head is 'words': it must be one of masked_lm, labels, token_labels, spans$",
        ),
        ({"head": "spans", "labels": 3}, "^model.labels is 3: for spans it must be 2$"),
        ({"pooler": "mean"}, "^model.pooler is 'mean': it must be one of gelu, gelu_exact,"),
        ({"head": "masked_lm", "embedding_width": 4}, "it needs a head_activation$"),
        ({"distinct_layers": 1, "residual": "attention"}, "it needs a block of its own for each layer$"),
        (
            {"pooling": "max"},
            "unknown mechanism 'max'; .*; or one of first, last, mean$",
        ),
        ({"mechanism": "mesa"}, "mesa is causal only, but an encoder reads both ways$"),
    ],
)
def test_a_bad_setting_is_one_clear_line(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EncoderConfig(**SMALL | fields)
