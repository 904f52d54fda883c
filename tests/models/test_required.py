"""Phrases that a translation must have: against all sequences there are, and kept whatever the beams."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.models import Transformer, TransformerConfig, beams, force, generate, greedy, required, rules
from attnjax.models.decoding.required import Progress, lacking
from tests.daily import daily

PAD, BOS, EOS = 0, 1, 2
VOCAB, LENGTH = 6, 4
MARKS: dict[str, Any] = {"bos": BOS, "eos": EOS, "pad": PAD}
PHRASES = [[[[4]], [[5, 3]]], [[[5], [3, 3]]], [[[3, 4]], [[4, 3]]], []]
"""Two phrases; one of two forms; two that overlap in all that has room; none."""


@pytest.fixture(scope="module")
def model() -> Transformer:
    config = TransformerConfig(
        dim=8, heads=2, encoder_layers=1, decoder_layers=1, hidden=16, implementation="reference"
    )
    model = Transformer(config, source_vocab=13, target_vocab=VOCAB, rngs=nnx.Rngs(0))
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda leaf: 3.0 * leaf if leaf.ndim > 1 else leaf, state))
    return model


def sources() -> tuple[jax.Array, jax.Array]:
    return jax.random.randint(jax.random.key(5), (4, 4), 3, 13), jnp.array([4, 2, 3, 4])


def has(text: Any, form: Any) -> bool:
    return any(list(text[i : i + len(form)]) == list(form) for i in range(len(text)))


def has_all(text: Any, phrases: Any) -> bool:
    return all(any(has(text, form) for form in forms) for forms in phrases)


def ended(row: list[int]) -> list[int]:
    return row[: row.index(EOS) + 1] if EOS in row else row


def test_with_beams_enough_the_search_is_exhaustive(model: Transformer) -> None:
    texts = [
        [*text, EOS]
        for n in range(LENGTH)
        for text in itertools.product([t for t in range(VOCAB) if t != EOS], repeat=n)
    ]
    rows = np.full((len(texts), LENGTH), PAD)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = text
    counts = jnp.array([len(text) for text in texts])
    source, lengths = sources()
    kept, strategy = 6, beams(2 * VOCAB ** (LENGTH - 1), best=6, early="never")
    of = required(PHRASES)
    ranked = generate(
        model, source, lengths, strategy=strategy, max_length=LENGTH, required=of, **MARKS
    ).ranked
    assert ranked is not None
    for row, phrases in enumerate(PHRASES):
        given = (jnp.repeat(x[row : row + 1], len(texts), axis=0) for x in (source, lengths))
        logs = force(model, *given, jnp.asarray(rows), counts=counts, bos=BOS).log_probs.sum(1) / counts
        fitting = [i for i in np.argsort(-logs).tolist() if has_all(texts[i], phrases)][:kept]
        found = [ended(text) for text in ranked.tokens[row].tolist()]
        assert found[: len(fitting)] == [texts[i] for i in fitting]
        expected = np.full(kept, -np.inf)
        expected[: len(fitting)] = logs[np.array(fitting)]
        np.testing.assert_allclose(ranked.scores[row], expected, rtol=2e-5)
    assert len(fitting) == kept > len([t for t in texts if has_all(t, PHRASES[2])])


@pytest.mark.parametrize("count", daily([1, 2, 5], [2]))
def test_few_beams_keep_every_phrase(model: Transformer, count: int) -> None:
    source, lengths = sources()
    phrases = [[[[4, 4, 5]], [[3]], [[5, 5, 5]]], [[[5, 3, 5, 3]]], [[[0, 4]], [[0, 4, 0], [3, 0]]], []]
    kept = rules(block=2, max_length=9, banned=[[BOS]])
    options: dict[str, Any] = {"max_length": 12, "rules": kept, **MARKS}
    given = generate(
        model, source, lengths, strategy=beams(count), required=required(phrases, room=8), **options
    )
    for text, own in zip(given.tokens.tolist(), phrases, strict=True):
        assert has_all(ended(text), own), text
        assert len(ended(text)) <= 10
    plain = generate(model, source, lengths, strategy=beams(count), **options)
    assert not has_all(plain.tokens[0].tolist(), phrases[0])
    np.testing.assert_array_equal(given.tokens[3], plain.tokens[3])


def test_what_no_sequence_can_have_is_not_found(model: Transformer) -> None:
    source, lengths = sources()
    of = required([[[[3, 4]]], [[[5]]], [], []])
    kept = rules(banned=[[3, 4]])
    given = generate(
        model, source, lengths, strategy=beams(2), required=of, rules=kept, max_length=6, **MARKS
    )
    assert np.isneginf(given.scores).tolist() == [True, False, False, False]


def test_what_is_lacking_is_what_a_literal_loop_says() -> None:
    random = np.random.default_rng(0)
    rows = [
        [
            [random.integers(3, 5, random.integers(1, 4)).tolist() for _ in range(random.integers(1, 3))]
            for _ in range(random.integers(0, 4))
        ]
        for _ in range(40)
    ]
    of, texts = required(rows, room=20), random.integers(3, 6, (40, 7))
    progress = Progress.none(of)
    for n in range(texts.shape[1]):
        progress = progress.after(of, jnp.asarray(texts[:, n]))
        found = np.asarray(lacking(of, progress))
        for row, phrases in enumerate(rows):
            text, expected = texts[row, : n + 1].tolist(), 0
            for forms in phrases:
                if not has_all(text, [forms]):
                    expected += min(
                        len(form) - k
                        for form in forms
                        for k in range(len(form))
                        if text[len(text) - k :] == form[:k]
                    )
            assert found[row] == expected, (text, phrases)


def test_phrases_out_of_range_are_named(model: Transformer) -> None:
    source, lengths = sources()
    with pytest.raises(ValueError, match="required: a phrase is empty"):
        required([[[[]]]])
    with pytest.raises(ValueError, match="room 2: expected 3 or more"):
        required([[[[3, 4, 5]]]], room=2)
    options: dict[str, Any] = {"max_length": 4, "required": required(PHRASES), **MARKS}
    with pytest.raises(ValueError, match="keeps no phrases, expected beams"):
        generate(model, source, lengths, strategy=greedy(), **options)
    with pytest.raises(ValueError, match="it has 4 rows, expected 2"):
        generate(model, source[:2], lengths[:2], strategy=beams(2), **options)
