"""The recurrent captioner against Show, Attend and Tell written out in NumPy, and decoding with it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.models import beams, force, generate
from attnjax.models.captioner_config import CaptionerConfig
from attnjax.models.show_attend_tell import RecurrentCaptioner
from attnjax.nn import Capture
from tests.daily import daily
from tests.models.test_recurrent import D, embed, gru, lstm, sigmoid, softmax
from tests.nn.moved import moved, value_and_slope

SMALL: dict[str, Any] = {
    "dim": D,
    "heads": 2,
    "image": 8,
    "patch": 4,
    "encoder_layers": 0,
    "decoder_layers": 1,
    "stem": "convolution",
    "decoder": "lstm",
    "cross_mechanism": "additive",
}
V = 7
DRAW = np.random.default_rng(0)
IMAGES = DRAW.normal(size=(2, 8, 8, 3)).astype(np.float32)
LENGTHS = np.array([4, 3])
TARGET = np.array([[1, 4, 5], [1, 6, 4]])


def made(scale: float = 1.0, **fields: Any) -> tuple[Any, Any, dict[str, Any]]:
    """The structure of a model off its start, its parameters, and these as arrays."""
    model = RecurrentCaptioner(CaptionerConfig(**SMALL | fields), target_vocab=V, rngs=nnx.Rngs(0))
    return moved(model, scale=scale)


def literal(p: dict[str, Any], cell: Any, kept: int, a: Any, target: Any) -> tuple[Any, Any]:
    """The logits [T, V] and the weights [T, S] of one caption of the vectors a, equation by equation."""
    d, attention = p["decoder"], p["decoder"]["attention"]
    mean = a.mean(0)
    states = [tuple(np.split(np.tanh(mean @ b["kernel"] + b["bias"]), kept)) for b in d["bridge"].values()]
    logits, weights = [], []
    for y in target:
        h, e = states[-1][0], embed(p["target_embedding"], y)
        query = h @ attention["query"]["kernel"][:, 0] + attention["query"]["bias"][0]
        keys = a @ attention["key"]["kernel"][:, 0]
        alpha = softmax(np.tanh(query + keys) @ attention["made"]["additive"]["v"][0])
        beta = sigmoid(h @ d["gate"]["kernel"] + d["gate"]["bias"])
        z = beta * (alpha @ a)
        x = np.concatenate([e, z])
        for layer, own in enumerate(d["cells"].values()):
            states[layer] = cell(own, states[layer], x)
            x = states[layer][0]
        of_z, of_h = np.split(d["joined"]["kernel"], 2)
        logits.append((e + x @ of_h + z @ of_z) @ p["output"]["kernel"] + p["output"]["bias"])
        weights.append(alpha)
    return np.array(logits), np.array(weights)


CASES: dict[str, Any] = {
    "lstm": ({}, lstm, 2),
    "two GRUs over a block": ({"decoder": "gru", "decoder_layers": 2, "encoder_layers": 1}, gru, 1),
}


@pytest.mark.parametrize("name", daily(CASES, ["lstm"]))
def test_a_step_is_the_papers_and_so_are_its_gradients(name: str) -> None:
    """In float64: the vectors are what the encoder gives, those behind the last one are not read."""
    fields, cell, kept = CASES[name]
    with jax.enable_x64(True):
        graphdef, params, plain = made(dtype="float64", param_dtype="float64", **fields)

        def run(params: Any, images: Any) -> Any:
            model = nnx.merge(graphdef, params)
            memory = model.encode(images, LENGTHS).memory
            output = model.decode(jnp.asarray(TARGET), memory, LENGTHS, capture=Capture())
            return output.logits, output.weights["decoder.cross_attention"], memory

        given, slope, rise = value_and_slope(run, params, np.float64(IMAGES))
        logits, weights, memory = map(np.asarray, given)
        for row, length in enumerate(LENGTHS):
            expected = literal(plain, cell, kept, memory[row, :length], TARGET[row])
            np.testing.assert_allclose(logits[row], expected[0], rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(weights[row, 0, :, :length], expected[1], rtol=1e-10, atol=1e-10)
        assert not weights[1, :, :, 3:].any()
        assert np.isfinite(slope)
        np.testing.assert_allclose(slope, rise, rtol=1e-6)


def test_a_row_is_what_it_is_alone_whatever_its_padding_holds_and_step_by_step() -> None:
    graphdef, params, _ = made()
    model = nnx.merge(graphdef, params)
    memory = jnp.asarray(DRAW.normal(size=(2, 4, D)), jnp.float32)
    target, lengths = jnp.asarray(TARGET), jnp.asarray(LENGTHS)
    run = jax.jit(lambda model, *x: model.decode(*x, capture=Capture())[:3:2])
    logits, weights = run(model, target, memory, lengths)
    other = run(model, target, memory.at[1, 3:].set(9), lengths)
    jax.tree.map(np.testing.assert_array_equal, other, (logits, weights))
    alone = run(model, target[1:], memory[1:, :3], lengths[1:])[0]
    np.testing.assert_allclose(alone[0], logits[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        run(model, target, memory, jnp.arange(4) < lengths[:, None])[0], logits, rtol=1e-6
    )
    cache = model.init_cache(memory, lengths)
    step = jax.jit(lambda model, token, cache: model.attend(token, cache))
    for i in range(3):
        found, cache, looked = step(model, target[:, i : i + 1], cache)
        np.testing.assert_allclose(found[:, 0], logits[:, i], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            looked[:, 0], weights["decoder.cross_attention"][:, 0, i], rtol=1e-5, atol=1e-6
        )


def test_images_are_captioned_by_the_likeliest_tokens_and_by_beams() -> None:
    model, lengths = nnx.merge(*made(3.0)[:2]), jnp.array([4, 4])
    marks: dict[str, Any] = {"bos": 1, "eos": 2, "pad": 0, "max_length": 4}
    greedy = generate(model, jnp.asarray(IMAGES), lengths, **marks)
    counts = jnp.minimum(greedy.lengths + 1, 4)
    forced = force(model, jnp.asarray(IMAGES), lengths, greedy.tokens, counts=counts, bos=1)
    found = generate(model, jnp.asarray(IMAGES), lengths, strategy=beams(V, length_penalty=0.0), **marks)
    assert (found.scores >= forced.log_probs.sum(-1) - 1e-5).all()
    fed = jnp.concatenate([jnp.full((2, 1), 1), greedy.tokens[:, :-1]], axis=1)
    best = model(jnp.asarray(IMAGES), lengths, fed).logits.argmax(-1)
    live = np.arange(4) < np.asarray(counts)[:, None]
    np.testing.assert_array_equal(np.asarray(greedy.tokens)[live], np.asarray(best)[live])
    assert forced.alignment is not None
    np.testing.assert_allclose(forced.alignment.sum(-1), 1, rtol=1e-5)


def test_settings_that_say_nothing_to_it_are_refused() -> None:
    for fields, message in (
        ({"decoder": "rnn"}, "model.decoder is 'rnn': it must be one of blocks, lstm, gru"),
        ({"cross_gate": True}, "model.cross_gate is True: the decoder lstm has a gate of its own, expected"),
        ({"tie_embeddings": True}, "model.tie_embeddings is True: the decoder lstm has an output of its own"),
        ({"positions": "learned"}, "model.positions is 'learned': the decoder lstm adds none to tokens"),
        ({"cross_mechanism": "additive+dot"}, "a recurrent decoder has one attention layer"),
    ):
        with pytest.raises(InputError, match=message) as error:
            CaptionerConfig(**SMALL | fields)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"config.decoder 'blocks': expected lstm or gru"):
        RecurrentCaptioner(CaptionerConfig(**SMALL | {"decoder": "blocks"}), target_vocab=V, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"source \[2, 3\]: expected \(B, height, width, channels\)"):
        nnx.merge(*made()[:2]).encode(jnp.ones((2, 3)), jnp.asarray(LENGTHS))
