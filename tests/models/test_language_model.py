"""The decoder-only model: causal with every kind of mechanism, decoding as one pass, bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.config import InputError
from attnjax.models import LanguageModel, LanguageModelConfig
from attnjax.nn import Capture, Dropout
from tests.daily import daily

pytestmark = pytest.mark.versions

B, T, V = 2, 7, 11
VARIANTS: dict[str, dict[str, Any]] = {
    "softmax, rope": {"convolution": None, "positions": "rope", "tie_embeddings": True},
    "softmax, learned, post": {"positions": "learned", "norm_placement": "post"},
    "softmax, alibi": {"positions": "alibi"},
    "window": {"mechanism": "window(size=3)"},
    "linear": {"mechanism": "linear", "convolution": None},
    "hybrid": {"mechanism": "gla+forget_gate & bigbird(size=2, count=1)"},
    "gated_delta_net": {"mechanism": "gated_delta_net"},
}
some_variants = pytest.mark.parametrize("variant", daily(VARIANTS, ["softmax, alibi", "hybrid"]))
TOKENS = jax.random.randint(jax.random.key(1), (B, T), 0, V)


def build(**fields: Any) -> LanguageModel:
    sizes = {"dim": 8, "heads": 2, "head_dim": 6, "hidden": 8, "layers": 2, "positions": "none"}
    config = LanguageModelConfig(**{**sizes, "convolution": 3, "max_length": 16, **fields})
    return LanguageModel(config, vocab=V, rngs=nnx.Rngs(0))


def filled(model: LanguageModel, length: int = T + 1) -> Any:
    """A cache for so many tokens that holds T."""
    return jax.jit(model.__call__)(TOKENS, cache=model.init_cache(B, length)).cache


@pytest.mark.parametrize("mechanism", daily(["softmax", "gla"], ["gla"]))
def test_documents_in_one_row_are_read_as_each_alone(mechanism: str) -> None:
    model = build(mechanism=mechanism, positions="none")
    segments = jnp.array([[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 2, 2]])
    run = jax.jit(lambda tokens, segments: model(tokens, segments=segments).logits)
    logits = run(TOKENS, segments)
    for row, first, last in ((0, 3, 7), (1, 1, 5), (1, 5, 7)):
        alone = jnp.zeros((B, T), int).at[0, : last - first].set(TOKENS[row, first:last])
        found = run(alone, jnp.zeros((B, T), int))[0, : last - first]
        np.testing.assert_allclose(logits[row, first:last], found, atol=1e-5)
    assert not np.allclose(run(TOKENS, 0 * segments)[0, 3:], logits[0, 3:], atol=1e-3)
    with pytest.raises(ValueError, match=r"segments \[2, 3\]: expected \[2, 7\]"):
        model(TOKENS, segments=segments[:, :3])
    with pytest.raises(ValueError, match="and no cache"):
        model(TOKENS, segments=segments, cache=model.init_cache(B, T))


@some_variants
def test_a_token_is_seen_by_itself_and_later_ones_and_decoding_is_one_pass(variant: str) -> None:
    model = build(**VARIANTS[variant])
    run = jax.jit(lambda tokens: model(tokens).logits)
    logits = run(TOKENS)
    assert logits.shape == (B, T, V)
    changed = run(TOKENS.at[:, 4].add(1) % V)
    np.testing.assert_allclose(changed[:, :4], logits[:, :4], atol=1e-5)
    assert not np.allclose(changed[:, 4], logits[:, 4], atol=1e-3)

    step = jax.jit(lambda tokens, cache: model(tokens, cache=cache))
    cache, parts = model.init_cache(B, T), []
    for tokens in (TOKENS[:, :5], TOKENS[:, 5:6], TOKENS[:, 6:]):
        part, cache, *_ = step(tokens, cache)
        parts.append(part)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), logits, atol=1e-5)
    assert cache.length.tolist() == [T] * B
    # Decoding that forgets the tokens before gives something else.
    alone = step(TOKENS[:, 6:], model.init_cache(B, T)).logits
    assert not np.allclose(alone[:, 0], logits[:, 6], atol=1e-3)


def test_a_window_holds_as_many_tokens_as_it_says() -> None:
    """Each of two layers reaches back window - 1 tokens: the last sees from T - 1 - 2·2 on."""
    model = build(mechanism="window(size=3)", convolution=None)
    run = jax.jit(lambda tokens: model(tokens).logits)
    logits = run(TOKENS)
    for place, seen in ((1, False), (2, True)):
        changed = run(TOKENS.at[:, place].add(1) % V)
        assert np.allclose(changed[:, -1], logits[:, -1], atol=1e-6) != seen


@pytest.mark.parametrize("mechanism", ["lightning", "hgrn2"])
def test_later_layers_of_some_forget_more_slowly(mechanism: str) -> None:
    blocks = build(mechanism=mechanism, layers=3, positions="none").blocks
    given = [dict(block.attention.recurrence.arguments) for block in blocks]
    assert given == [{"layer": layer, "layers": 3} for layer in range(3)]


@pytest.mark.parametrize("mechanism", daily(["softmax", "gated_delta_net"], ["softmax"]))
def test_parameters_are_all_there_is_and_all_are_used_and_named(mechanism: str) -> None:
    model = build(mechanism=mechanism)
    graphdef, params = nnx.split(model, nnx.Param)  # raises if any other state is left over

    @jax.jit
    def loss(params: nnx.State) -> jax.Array:
        logits = nnx.merge(graphdef, params)(TOKENS).logits
        return (logits**2 * jax.random.normal(jax.random.key(0), logits.shape)).mean()

    flat = jax.tree.leaves_with_path(jax.grad(loss)(params))
    still = [jax.tree_util.keystr(path) for path, gradient in flat if not np.abs(gradient).max() > 1e-12]
    # One bias on all keys shifts all scores of a row alike, which a softmax without rotation never sees.
    assert all("'key'" in path and "'bias'" in path for path in still), still
    names = jax.tree.leaves(nn.logical_axes(params), is_leaf=lambda node: isinstance(node, tuple))
    assert [len(name) for name in names] == [leaf.ndim for leaf in jax.tree.leaves(params)]


def test_a_block_that_layers_share_stays_shared_through_jit_and_grad() -> None:
    shared, apart = build(convolution=None), build(convolution=None)
    shared.blocks[1] = shared.blocks[0]
    nnx.update(apart.blocks[1], nnx.state(apart.blocks[0]))

    @nnx.jit
    def step(model: LanguageModel) -> Any:
        gradient = nnx.grad(lambda model: jax.nn.log_softmax(model(TOKENS).logits)[..., 0].mean())(model)
        nnx.update(model, jax.tree.map(lambda x, g: x - g, nnx.state(model), gradient))
        return nnx.to_pure_dict(gradient)["blocks"]

    of_shared, of_each = step(shared), step(apart)
    sums = jax.tree.map(jnp.add, of_each[0], of_each[1])
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), of_shared[0], sums)
    assert list(of_shared) == [0]
    assert shared.blocks[1] is shared.blocks[0]
    # As tasks hand parameters to the training step.
    graphdef, params = nnx.split(shared, nnx.Param)
    merged = nnx.merge(graphdef, nnx.State(nnx.to_pure_dict(params)))
    assert merged.blocks[1] is merged.blocks[0]


def test_weights_are_captured_by_path_and_dropout_takes_effect() -> None:
    model = build()
    logits, _, weights, hidden, _ = model(TOKENS, capture=Capture(layers=(1,), rows=(3,), hidden=True))
    assert {path: x.shape[:2] for path, x in hidden.items()} == dict.fromkeys(
        ("embedding", "blocks.1", "norm"), (B, 1)
    )
    whole = model(TOKENS, capture=Capture(layers=(), hidden=True))
    np.testing.assert_array_equal(model.output(whole.hidden["norm"]), whole.logits)
    assert whole.hidden.keys() == {"embedding", "norm"}
    assert {path: w.shape for path, w in weights.items()} == {"blocks.1.attention": (B, 2, 1, T)}
    np.testing.assert_array_equal(weights["blocks.1.attention"][..., 4:], 0)
    dropped = [model(TOKENS, dropout=Dropout(0.5, jax.random.key(i))).logits for i in (0, 0, 1)]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    assert not np.allclose(dropped[0], dropped[2])
    assert not np.allclose(dropped[0], logits)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda model: model(TOKENS[0]), ValueError, r"tokens \[7\]: expected \(B, T\)"),
        (lambda model: model(TOKENS * 1.0), TypeError, "tokens have dtype float32: expected integers"),
        (lambda model: model(TOKENS, cache=model.init_cache(B, 6)), ValueError, "cache of 6 slots, 0 used"),
        (
            lambda model: model(TOKENS, cache=filled(model)),
            ValueError,
            "8 slots, 7 used: no room for 7",
        ),
        (lambda model: model(TOKENS, capture=Capture(layers=(2,))), ValueError, r"capture.layers \(2,\)"),
    ],
)
def test_bad_input_is_refused(call: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call(build(layers=1))


def test_decoding_past_the_learned_positions_is_an_error() -> None:
    model = build(layers=1, mechanism="gla", positions="learned", max_length=T)
    with pytest.raises(ValueError, match="8 tokens: the table of positions has 7 rows"):
        model.init_cache(B, T + 1)
    with pytest.raises(ValueError, match="positions from 7 to 7: the table of positions has 7 rows"):
        model(TOKENS[:, :1], cache=filled(model, T))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"mechanism": "windows"},
            "^model.mechanism is 'windows': unknown mechanism 'windows'; did you mean window",
        ),
        ({"layers": 0}, "^model.layers is 0: it must be a whole number, 1 or more$"),
        ({"mechanism": "window(size=0)"}, "window: size is 0: expected a whole number, 1 or more$"),
        ({"convolution": 1.5}, "^model.convolution is 1.5: it must be a whole number, 1 or more$"),
        ({"head_dim": 0}, "^model.head_dim is 0: it must be a whole number, 1 or more$"),
        ({"head_dim": 3}, "^model.positions is 'rope': it needs an even head size, but model.head_dim is 3$"),
        (
            {"mechanism": "gla", "positions": "t5"},
            "^model.positions is 't5': it acts on scores, and gla",
        ),
    ],
)
def test_a_bad_config_is_one_clear_line(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LanguageModelConfig(**fields)
