"""Generation: drawn by the distribution, rows that are the same in any batch, streaming, several ends."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.models import (
    LanguageModel,
    LanguageModelConfig,
    generate,
    greedy,
    sampling,
    speculative,
    stream,
)
from attnjax.models.decoding import logits as change
from attnjax.models.decoding.generate import _Run
from attnjax.models.decoding.loop import proceed
from attnjax.models.decoding.sampling import Greedy
from tests.models.lively import OPTIONS, PAD, VOCAB, lively, padded_left, prompts
from tests.models.lively import model as model


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


def test_a_row_that_has_ended_fills_no_cache(model: LanguageModel) -> None:
    """A full one gives NaN, and what is not finite is computed anew, for the other rows too."""
    tokens, lengths = prompts(3)
    free = np.asarray(generate(model, tokens, lengths, **OPTIONS | {"eos": []}).tokens)
    mark = next(int(token) for token in free[0] if token not in free[1:])
    run = _Run(model, tokens, lengths, None, None, mark, PAD, 12, "right", None)
    state = run._proceeded(run._begun(run.inputs, run.lengths, None), 11)
    held = state.cache.layers[0].length.tolist()
    assert state.emitted.done.tolist() == [True, False, False]
    assert held == [0, *(lengths[1:] + 10).tolist()]


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
