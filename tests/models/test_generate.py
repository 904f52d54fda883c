"""Generation: drawn by the distribution, rows that are the same in any batch, streaming, several ends."""

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
from attnjax.models.decoding import logits as change
from attnjax.models.decoding.loop import proceed
from attnjax.models.decoding.sampling import Greedy
from attnjax.models.language_model import LanguageModelCache
from attnjax.nn import Capture, KVCache
from attnjax.nn.attention.window_cache import LEAST_SLOTS
from tests.daily import daily

VOCAB, PAD = 29, 0
OPTIONS: dict[str, Any] = {"eos": [2, 3], "pad": PAD, "max_length": 12}


def lively(config: LanguageModelConfig, vocab: int = VOCAB) -> LanguageModel:
    """Untrained, but with these weights rows end at different steps."""
    model = LanguageModel(config, vocab=vocab, rngs=nnx.Rngs(0))
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda leaf: 2.0 * leaf if leaf.ndim > 1 else leaf, state))
    return model


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return lively(LanguageModelConfig(dim=16, heads=2, layers=1, hidden=32))


def prompts(count: int = 11) -> tuple[jax.Array, jax.Array]:
    tokens = jax.random.randint(jax.random.key(5), (count, 9), 4, VOCAB)
    return tokens, jnp.arange(count) * 5 % 9 + 1


def padded_left(tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    width = tokens.shape[1]
    return jnp.stack([jnp.roll(row, width - n) for row, n in zip(tokens, lengths, strict=True)])


class LastDigits(Greedy):
    """Makes each token of the last bits of all logits, so that no difference is too small to be seen."""

    def choose(self, logits: jax.Array, state: Any) -> jax.Array:
        bits = jax.lax.bitcast_convert_type(logits, jnp.int32)
        return 4 + jnp.sum(bits, axis=-1) % (VOCAB - 4)


@pytest.mark.optimised
@pytest.mark.parametrize(
    "strategy",
    [LastDigits(None), pytest.param(sampling(temperature=3.0, top_p=0.9), marks=pytest.mark.slow)],
    ids=repr,
)
def test_with_a_tile_a_row_has_the_same_bits_alone_and_in_any_batch(strategy: Any) -> None:
    """In a model so wide that XLA takes other products for one row, for few and for many."""
    model = lively(LanguageModelConfig(dim=256, heads=4, layers=1, hidden=512, tie_embeddings=True))
    tokens, lengths = prompts()
    keys = jax.random.split(jax.random.key(1), len(tokens))

    def run(first: int, last: int, padding: Any = "right", tile: Any = (4, 16)) -> np.ndarray:
        some, n = tokens[first:last], lengths[first:last]
        some = some if padding == "right" else padded_left(some, n)
        some = some if last - first > 1 else some[:, : int(n[0])]
        options = OPTIONS | {"strategy": strategy, "key": keys[first:last], "tile": tile}
        return np.asarray(generate(model, some, n, padding=padding, **options).tokens)

    together = run(0, 11)
    np.testing.assert_array_equal(run(0, 11, "left"), together)
    for first, last in ((0, 1), (5, 6), (3, 9)):
        np.testing.assert_array_equal(run(first, last), together[first:last])
    if isinstance(strategy, LastDigits):
        assert (run(5, 6, tile=None) != together[5]).any(), "the digits should tell one row from many"


@pytest.mark.parametrize("padding", ["right", "left"])
def test_a_row_is_drawn_by_its_own_key(model: LanguageModel, padding: Any) -> None:
    tokens, lengths = prompts()
    key, drawn = jax.random.key(3), sampling(temperature=1.5, top_k=20, min_p=0.01)
    given = tokens if padding == "right" else padded_left(tokens, lengths)
    together = generate(model, given, lengths, strategy=drawn, key=key, padding=padding, **OPTIONS)
    again = generate(
        model,
        tokens[::-1],
        lengths[::-1],
        strategy=drawn,
        key=jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(11)[::-1]),
        **OPTIONS,
    )
    np.testing.assert_array_equal(again.tokens[::-1], together.tokens)
    assert len(set(together.lengths.tolist())) > 2, "rows should end at different steps"


def test_tokens_are_drawn_from_the_changed_distribution(model: LanguageModel) -> None:
    """Of 4000 rows with one prompt, the shares of the first token; χ² of what is left, and nothing else."""
    prompt = jnp.array([[4, 5, 6]])
    logits = model(prompt).logits[0, -1]
    seen = jnp.zeros(VOCAB, bool).at[prompt[0]].set(True)
    changed = change.repetition_penalty(logits, seen, 1.5) / 1.3
    changed = change.min_p(change.top_p(change.top_k(changed, 12), 0.9), 0.1)
    p = np.asarray(jax.nn.softmax(changed))
    rows = 4000
    drawn = sampling(repetition_penalty=1.5, temperature=1.3, top_k=12, top_p=0.9, min_p=0.1)
    options = {"eos": [], "pad": PAD, "max_length": 1, "key": jax.random.key(0)}
    tokens = generate(model, jnp.tile(prompt, (rows, 1)), jnp.full(rows, 3), strategy=drawn, **options).tokens
    counts = np.bincount(tokens[:, 0], minlength=VOCAB)
    assert 3 <= (p > 0).sum() < 12
    assert not counts[p == 0].any()
    left = p > 0
    squares = ((counts - rows * p)[left] ** 2 / (rows * p[left])).sum()
    assert squares < 4 * left.sum(), (counts[left] / rows, p[left])


def test_a_penalty_counts_the_prompt_and_what_was_emitted(model: LanguageModel) -> None:
    """Against asking the model again and again, with a penalty that hardly lets a token come twice."""
    tokens, lengths = prompts(3)
    given = generate(
        model, tokens, lengths, strategy=greedy(repetition_penalty=50.0), **OPTIONS | {"eos": []}
    )
    run = jax.jit(lambda row: model(row).logits[0])
    for row, n in enumerate(lengths.tolist()):
        text = tokens[row, :n].tolist()
        for _ in range(12):
            filled = jnp.array([text + [PAD] * (21 - len(text))])
            logits = np.array(run(filled)[len(text) - 1])
            for token in set(text):
                logits[token] *= 50.0 if logits[token] < 0 else 1 / 50.0
            text.append(int(logits.argmax()))
        assert given.tokens[row].tolist() == text[n:]


def test_pieces_of_a_stream_are_what_comes_at_once_from_one_program(model: LanguageModel) -> None:
    tokens, lengths = prompts(4)
    options = OPTIONS | {"strategy": sampling(temperature=1.5), "key": jax.random.split(jax.random.key(7), 4)}
    whole = generate(model, tokens, lengths, **options)
    compiled = proceed._cache_size()
    pieces = list(stream(model, tokens, lengths, every=5, **options))
    assert proceed._cache_size() == compiled
    steps = min(int(whole.lengths.max()) + 1, 12)
    assert [piece.shape[1] for piece in pieces] == np.diff([*range(0, steps, 5), steps]).tolist()
    np.testing.assert_array_equal(np.concatenate(pieces, 1), whole.tokens[:, :steps])
    assert not options["key"].is_deleted(), "the keys should not be given away with the state"


def test_pieces_end_with_all_that_a_step_of_several_tokens_emitted(model: LanguageModel) -> None:
    tokens, lengths = prompts(2)
    options = OPTIONS | {"eos": [], "max_length": 10}
    pieces = list(stream(model, tokens, lengths, strategy=speculative(model), every=4, **options))
    whole = generate(model, tokens, lengths, **options)
    np.testing.assert_array_equal(np.concatenate(pieces, 1), whole.tokens)


def test_other_numbers_of_a_strategy_need_no_other_program(model: LanguageModel) -> None:
    tokens, lengths = prompts(4)
    options = OPTIONS | {"key": jax.random.key(7)}
    generate(model, tokens, lengths, strategy=sampling(temperature=1.5), **options)
    compiled = proceed._cache_size()
    generate(model, tokens, lengths, strategy=sampling(temperature=0.5), **options | {"eos": [4, 5]})
    assert proceed._cache_size() == compiled


def test_a_row_ends_at_any_of_several_marks(model: LanguageModel) -> None:
    tokens, lengths = prompts()
    free = generate(model, tokens, lengths, **OPTIONS | {"eos": []})
    assert free.lengths.tolist() == [12] * 11
    marks = [int(free.tokens[0, 2]), int(free.tokens[1, 4])]
    cut = generate(model, tokens, lengths, **OPTIONS | {"eos": marks})
    for row in range(11):
        ends = [i for i, token in enumerate(free.tokens[row].tolist()) if token in marks]
        end = ends[0] if ends else 12
        assert int(cut.lengths[row]) == end
        assert cut.tokens[row].tolist() == free.tokens[row, : end + 1].tolist() + [PAD] * (11 - end)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strategy": sampling()}, "key None: .* draws, expected a key of jax.random"),
        ({"strategy": sampling(), "key": jnp.zeros(3)}, r"key float32\[3\]: expected a jax.random.key"),
        ({"lengths": jnp.array([1, 0, 3])}, r"lengths \[1, 0, 3\]: expected 1 to 9 tokens"),
        ({"lengths": jnp.array([1, 2])}, r"inputs \[3, 9\], lengths \[2\]: expected \(B, S\), \(B,\)"),
        ({"tile": (4, 8)}, r"tile \(4, 8\): expected 1 or more rows of 9 or more tokens"),
        ({"padding": "both"}, "padding 'both': expected 'right' or 'left'"),
    ],
)
def test_bad_calls(model: LanguageModel, wrong: dict[str, Any], message: str) -> None:
    tokens, lengths = prompts(3)
    with pytest.raises(ValueError, match=message):
        generate(model, tokens, **({"lengths": lengths} | OPTIONS | wrong))


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0.0}, {"top_k": 0}, {"top_p": 1.1}, {"min_p": -0.1}, {"repetition_penalty": 0}]
)
def test_numbers_out_of_range(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} .*: expected"):
        sampling(**wrong)


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
