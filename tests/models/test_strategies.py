"""Strategies: speculation emits what the model does alone, beams the likeliest, contrastive its formula."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.models import (
    LanguageModel,
    LanguageModelConfig,
    beams,
    contrastive_search,
    generate,
    greedy,
    sampling,
    speculative,
    stream,
)
from attnjax.models.language_model import LanguageModelCache
from attnjax.nn import Capture, KVCache
from attnjax.nn.attention.window_cache import LEAST_SLOTS
from tests.daily import daily
from tests.models.lively import OPTIONS, PAD, VOCAB, lively, prompts
from tests.models.lively import model as model


@pytest.fixture(scope="module")
def small() -> LanguageModel:
    config = LanguageModelConfig(dim=8, heads=2, layers=1, hidden=16, positions="alibi")
    return lively(config)


def test_speculation_emits_what_the_model_emits_alone(model: LanguageModel, small: LanguageModel) -> None:
    tokens, lengths = prompts()
    alone = generate(model, tokens, lengths, **OPTIONS)
    for draft, most in ((small, 12), (model, 3)):  # The model agrees with itself: 4 + 1 tokens at a time.
        steps = []

        class Counted(LanguageModel):
            def extend(self, *arguments: Any, steps: Any = steps) -> Any:
                jax.debug.callback(lambda: steps.append(1))
                return super().extend(*arguments)

        counted = Counted(model.config, vocab=VOCAB, rngs=nnx.Rngs(0))
        nnx.update(counted, nnx.state(model))
        given = generate(counted, tokens, lengths, strategy=speculative(draft), **OPTIONS)
        np.testing.assert_array_equal(given.tokens, alone.tokens)
        np.testing.assert_array_equal(given.lengths, alone.lengths)
        jax.effects_barrier()
        assert 3 <= len(steps) <= most


WINDOWS = LanguageModelConfig(
    dim=16, heads=4, kv_heads=2, layers=2, hidden=32, positions="rope", mechanism="window(size=4) + softmax"
)
STRATEGIES: dict[str, Any] = {
    "greedy": lambda: greedy(),
    "beams": lambda: beams(3),
    "contrastive": lambda: contrastive_search(candidates=3),
    "speculative": lambda: speculative(lively(dataclasses.replace(WINDOWS, layers=1))),
    "speculative, all of it kept": lambda: speculative(lively(WINDOWS), proposals=7),
}


@pytest.mark.parametrize("name", daily(STRATEGIES, ["beams", "speculative"]))
def test_windows_hold_few_tokens_and_emit_what_a_cache_of_all_does(name: str) -> None:
    """Each row emits 32 tokens, twice as many as the window has slots."""

    class Whole(LanguageModel):
        def init_cache(self, batch: int, length: int) -> LanguageModelCache:
            layers = (KVCache.empty((batch,), length, kv_heads=2, head_dim=4),) * 2
            return LanguageModelCache(layers, None)

    windows, whole = lively(WINDOWS), Whole(WINDOWS, vocab=VOCAB, rngs=nnx.Rngs(0))
    nnx.update(whole, nnx.state(windows))
    assert [layer.capacity for layer in windows.init_cache(1, 40).layers] == [LEAST_SLOTS, 40]
    given, expected = (
        generate(model, *prompts(), strategy=STRATEGIES[name](), **OPTIONS | {"eos": [], "max_length": 32})
        for model in (windows, whole)
    )
    np.testing.assert_array_equal(given.tokens, expected.tokens)
    assert len(np.unique(given.tokens)) > 5


@pytest.mark.parametrize("speculates", daily([False, True], [True]))
def test_pairs_of_tokens_are_as_likely_as_the_model_says(speculates: bool) -> None:
    """Of 3000 rows; with one proposal the second token comes after one that was kept, or after a draw."""
    rows, vocab = 3000, 4
    config = LanguageModelConfig(dim=8, heads=2, layers=1, hidden=16, positions="alibi")
    model = lively(config, vocab)
    small = lively(dataclasses.replace(config, positions="none"), vocab)
    prompt, drawn = jnp.array([[1, 2, 3]]), sampling(temperature=1.5)
    after = jnp.concatenate([jnp.tile(prompt, (vocab, 1)), jnp.arange(vocab)[:, None]], axis=1)
    shares = jax.nn.softmax(model(after).logits / 1.5)
    p = np.asarray(shares[0, 2][:, None] * shares[:, 3]).reshape(-1)
    options = {"eos": [], "pad": PAD, "max_length": 2, "key": jax.random.key(0)}
    strategy = speculative(small, proposals=1, strategy=drawn) if speculates else drawn
    inputs = jnp.tile(prompt, (rows, 1)), jnp.full(rows, 3)
    tokens = generate(model, *inputs, strategy=strategy, **options).tokens
    counts = np.bincount(np.asarray(tokens[:, 0] * vocab + tokens[:, 1]), minlength=vocab * vocab)
    squares = ((counts - rows * p) ** 2 / (rows * p)).sum()
    assert squares < 40, (counts / rows, p)  # Above that in 4 of 10,000 cases, by chance.


def test_speculation_takes_no_state_and_no_other_vocabulary(
    model: LanguageModel, small: LanguageModel
) -> None:
    config = LanguageModelConfig(dim=8, heads=2, layers=1, mechanism="gla")
    state = LanguageModel(config, vocab=VOCAB, rngs=nnx.Rngs(0))
    other = LanguageModel(small.config, vocab=7, rngs=nnx.Rngs(0))
    for draft, message in (
        (state, "draft keeps a StateCache: expected slots"),
        (other, f"draft has 7 tokens: expected those of the model, {VOCAB}"),
    ):
        with pytest.raises(ValueError, match=message):
            generate(model, *prompts(2), strategy=speculative(draft), **OPTIONS)
    many = speculative(lively(WINDOWS), proposals=16)
    with pytest.raises(ValueError, match="proposals 16: expected fewer than the draft's window of 16"):
        generate(model, *prompts(2), strategy=many, **OPTIONS)
    with pytest.raises(ValueError, match=r"repetition_penalty 2.0: speculation takes none"):
        speculative(small, strategy=greedy(repetition_penalty=2.0))


def test_one_beam_is_greedy_and_many_find_the_likeliest_of_all(model: LanguageModel) -> None:
    tokens, lengths = prompts(4)
    alone = generate(model, tokens, lengths, **OPTIONS)
    np.testing.assert_array_equal(
        generate(model, tokens, lengths, strategy=beams(1), **OPTIONS).tokens, alone.tokens
    )
    # Of two tokens all 29² pairs are there to compare with.
    found = generate(model, tokens, lengths, strategy=beams(VOCAB), eos=[], pad=PAD, max_length=2)
    run = jax.jit(lambda text: jax.nn.log_softmax(model(text).logits))
    for row, n in enumerate(lengths.tolist()):
        text = np.full((VOCAB, 10), PAD)
        text[:, :n], text[:, n] = tokens[row, :n], np.arange(VOCAB)
        p = run(text)
        both = np.asarray(p[0, n - 1][:, None] + p[:, n])
        assert found.tokens[row].tolist() == list(np.unravel_index(both.argmax(), both.shape))
        np.testing.assert_allclose(found.scores[row], both.max() / 2, rtol=1e-5)


def test_beams_take_tokens_back(model: LanguageModel) -> None:
    with pytest.raises(
        ValueError, match=r"strategy beams\(3, 1.0, power, 0.0, 3, False\): expected one that takes no token"
    ):
        stream(model, *prompts(2), strategy=beams(3), **OPTIONS)
    with pytest.raises(ValueError, match="beams 0: expected a whole number, 1 or more"):
        beams(0)


def test_contrastive_search_is_its_formula(model: LanguageModel) -> None:
    """Against the whole text through the model for each candidate, without a cache."""
    tokens, lengths = prompts(3)
    given = generate(
        model, tokens, lengths, strategy=contrastive_search(5, penalty=0.7), **OPTIONS | {"eos": []}
    )
    run = jax.jit(lambda text: model(text, capture=Capture(layers=(), hidden=True)))
    for row, n in enumerate(lengths.tolist()):
        text = tokens[row, :n].tolist()
        for _ in range(12):
            p = np.asarray(
                jax.nn.softmax(run(jnp.array([text + [PAD] * (21 - len(text))])).logits[0, len(text) - 1])
            )
            candidates = np.argsort(-p)[:5]
            texts = jnp.array([[*text, token, *[PAD] * (20 - len(text))] for token in candidates])
            hidden = np.array(run(texts).hidden["norm"])
            hidden /= np.linalg.norm(hidden, axis=-1, keepdims=True)
            likeness = np.einsum("kd,ksd->ks", hidden[:, len(text)], hidden[:, : len(text)]).max(1)
            text.append(int(candidates[np.argmax(0.3 * p[candidates] - 0.7 * likeness)]))
        assert given.tokens[row].tolist() == text[n:]
    alone = generate(model, tokens, lengths, **OPTIONS)
    without = generate(model, tokens, lengths, strategy=contrastive_search(5, penalty=0.0), **OPTIONS)
    np.testing.assert_array_equal(without.tokens, alone.tokens)
    assert (given.tokens != alone.tokens).any()
