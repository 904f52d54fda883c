"""Greedy decoding: the same tokens as asking the model again and again, whatever else is in the batch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.models import (
    LanguageModel,
    LanguageModelConfig,
    Transformer,
    TransformerConfig,
    alignment,
    generate,
)
from tests.daily import daily

PAD, BOS, EOS = 0, 1, 2
LENGTH = 9


@pytest.fixture(scope="module")
def model() -> Transformer:
    """Untrained but lively: with these weights rows end at different steps."""
    config = TransformerConfig(dim=16, heads=4, kv_heads=2, encoder_layers=1, decoder_layers=2, hidden=16)
    model = Transformer(config, source_vocab=13, target_vocab=7, rngs=nnx.Rngs(0))
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda leaf: 3.0 * leaf if leaf.ndim > 1 else leaf, state))
    return model


def sources(count: int = 12) -> tuple[jax.Array, jax.Array]:
    source = jax.random.randint(jax.random.key(5), (count, 8), 3, 13)
    return source, jnp.arange(count) % 8 + 1


def decode(model: Transformer, source: jax.Array, lengths: jax.Array, **options):
    return generate(model, source, lengths, bos=BOS, eos=EOS, pad=PAD, max_length=LENGTH, **options)


def step_by_step(model: Transformer, source: jax.Array, lengths: jax.Array) -> tuple[np.ndarray, list[int]]:
    """No cache, no loop in the program: the whole prefix through the model for every token."""
    apply = jax.jit(lambda target: model(source, lengths, target).logits)
    target = np.full((len(source), LENGTH + 1), PAD)
    target[:, 0] = BOS
    for step in range(LENGTH):
        best = np.asarray(apply(jnp.asarray(target)))[:, step].argmax(-1)
        ended = (target[:, 1:] == EOS).any(1)
        target[:, step + 1] = np.where(ended, PAD, best)
    tokens = target[:, 1:]
    return tokens, [list(row).index(EOS) if EOS in row else LENGTH for row in tokens]


def test_equals_asking_step_by_step(model: Transformer) -> None:
    source, lengths = sources()
    decoded = decode(model, source, lengths)
    tokens, ends = step_by_step(model, source, lengths)
    np.testing.assert_array_equal(decoded.tokens, tokens)
    np.testing.assert_array_equal(decoded.lengths, ends)
    assert len(set(ends)) > 2, "the fixture should end rows at different steps"
    assert decoded.weights is None


def test_rows_do_not_depend_on_their_batch_mates_or_padding(model: Transformer) -> None:
    source, lengths = sources()
    together = decode(model, source, lengths)
    padded = jnp.concatenate([source, jnp.full((len(source), 5), PAD)], axis=1)
    np.testing.assert_array_equal(decode(model, padded, lengths).tokens, together.tokens)
    for row in (5,):
        alone = decode(model, source[row : row + 1, : int(lengths[row])], lengths[row : row + 1])
        np.testing.assert_array_equal(alone.tokens[0], together.tokens[row])


def test_stops_as_soon_as_every_row_has_ended(model: Transformer) -> None:
    """A model that always ends at once takes one step of the nine that it may take."""
    steps = []

    # A class of its own: a program that another test compiled for this shape would not count.
    class Counting(Transformer):
        def decode(self, *args: Any, **options: Any) -> Any:
            jax.debug.callback(lambda: steps.append(1))
            return super().decode(*args, **options)

    counting = Counting(model.config, source_vocab=13, target_vocab=7, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(counting)
    params = jax.tree.map(jnp.zeros_like, params)
    params["output"]["bias"][...] = jnp.zeros(7).at[EOS].set(1.0)
    source, lengths = sources()
    decoded = decode(nnx.merge(graphdef, params), source, lengths)
    jax.effects_barrier()
    assert len(steps) == 1
    np.testing.assert_array_equal(decoded.lengths, np.zeros(len(source)))
    assert not decoded.tokens[:, 1:].any()


def test_captures_the_weights_of_the_emitted_tokens(model: Transformer) -> None:
    source, lengths = sources()
    decoded = decode(model, source, lengths, capture=nn.Capture(layers=(1,)))
    assert set(decoded.weights) == {"decoder.1.self_attention", "decoder.1.cross_attention"}
    given = jnp.concatenate([jnp.full((len(source), 1), BOS), decoded.tokens[:, :-1]], axis=1)
    expected = jax.jit(lambda: model(source, lengths, given, capture=nn.Capture()).weights)()
    cross = decoded.weights["decoder.1.cross_attention"]
    np.testing.assert_allclose(cross, expected["decoder.1.cross_attention"], atol=1e-4)
    np.testing.assert_array_equal(decode(model, source, lengths).tokens, decoded.tokens)


def test_alignment_is_the_mean_of_cross_attention(model: Transformer) -> None:
    source, lengths = sources()
    tokens = decode(model, source, lengths).tokens
    given = jnp.concatenate([jnp.full((len(source), 1), BOS), tokens[:, :-1]], axis=1)
    captured = jax.jit(lambda: model(source, lengths, given, capture=nn.Capture()).weights)()
    first, second = (captured[f"decoder.{i}.cross_attention"] for i in range(2))
    whole = alignment(model, source, lengths, tokens, bos=BOS)
    np.testing.assert_allclose(whole, (first + second).mean(1) / 2, atol=1e-4)
    np.testing.assert_allclose(whole.sum(-1), np.ones(tokens.shape), atol=1e-5)
    part = alignment(model, source, lengths, tokens, bos=BOS, layers=(1,), heads=(0, 3))
    np.testing.assert_allclose(part, second[:, [0, 3]].mean(1), atol=1e-4)


def test_works_inside_jit(model: Transformer) -> None:
    source, lengths = sources()
    inside = jax.jit(lambda s, n: decode(model, s, n))(source, lengths)
    np.testing.assert_array_equal(inside.tokens, decode(model, source, lengths).tokens)


@pytest.mark.parametrize(
    ("mechanism", "dtype"), [("gated_delta_net", "bfloat16"), ("linear+window", "float32")]
)
def test_the_loop_carries_the_state_of_a_recurrence(mechanism: str, dtype: str) -> None:
    config = TransformerConfig(dim=8, heads=2, encoder_layers=1, mechanism=mechanism, dtype=dtype)
    small = Transformer(config, source_vocab=13, target_vocab=7, rngs=nnx.Rngs(0))
    assert jax.eval_shape(lambda *a: decode(small, *a).tokens, *sources()).shape == (12, LENGTH)


SCORES = {"positions": "alibi"}
STATES = {"mechanism": "gated_delta_net", "convolution": 3}


def test_max_length_must_be_positive(model: Transformer) -> None:
    with pytest.raises(ValueError, match="max_length 0: expected 1 or more"):
        generate(model, *sources(), bos=BOS, eos=EOS, pad=PAD, max_length=0)


def test_no_more_tokens_than_learned_positions() -> None:
    config = TransformerConfig(dim=8, encoder_layers=1, decoder_layers=1, positions="learned", max_length=8)
    small = Transformer(config, source_vocab=13, target_vocab=7, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="9 tokens: the table of positions has 8 rows"):
        decode(small, *sources())
    with pytest.raises(ValueError, match="9 tokens: the table of positions has 8 rows"):
        small.init_cache(jnp.zeros((2, 8, 8)), jnp.array([8, 8]), LENGTH)


@pytest.mark.parametrize(
    ("fields", "padding"),
    daily(
        [(fields, padding) for fields in (SCORES, STATES) for padding in ("right", "left")],
        [(SCORES, "right"), (STATES, "left")],
    ),
)
def test_prompts_of_many_lengths_are_continued_as_each_alone(fields: dict[str, Any], padding: str) -> None:
    config = LanguageModelConfig(dim=8, heads=2, layers=1, **fields)
    small = LanguageModel(config, vocab=7, rngs=nnx.Rngs(0))
    prompts = jax.random.randint(jax.random.key(0), (3, 5), 3, 7)
    lengths = jnp.array([5, 1, 3])
    options = {"eos": EOS, "pad": PAD, "max_length": 4}
    expected = []
    run = jax.jit(lambda tokens: small(tokens).logits)
    for row, length in enumerate(lengths.tolist()):
        tokens = np.zeros((1, 9), int)
        tokens[0, :length] = prompts[row, :length]
        for at in range(length, length + 4):
            tokens[0, at] = PAD if EOS in tokens[0, length:at] else run(tokens)[0, at - 1].argmax()
        expected.append(tokens[0, length : length + 4])
    if padding == "left":
        prompts = jnp.stack([jnp.roll(row, 5 - n) for row, n in zip(prompts, lengths, strict=True)])
    decoded = generate(small, prompts, lengths, padding=padding, **options)
    np.testing.assert_array_equal(decoded.tokens, expected)
    with pytest.raises(ValueError, match="expected None, LanguageModel has no encoder"):
        generate(small, prompts, lengths, capture=nn.Capture(), **options)
