"""Hierarchical attention over the sentences of a text: the formula, padding, taps, errors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.config import InputError
from attnjax.data.text.sentence_ends import sentence_ends
from attnjax.models import Encoder, EncoderConfig, GraphConfig
from attnjax.models.sentence_marks import SentenceMarks
from attnjax.nn import Capture, Taps
from attnjax.nn.classic.pooling import HierarchicalPooling
from tests.models.test_layouts import SMALL, moved

END, CLOSE = 7, 8
MARKS = SentenceMarks((END,), (CLOSE,))
TOKENS = np.array([[1, 2, END, CLOSE, 3, END, 4, 5], [2, END, END, 6, 0, END, 3, 0]])
LENGTHS = np.array([8, 4])
SENTENCES = ([[0, 1, 2, 3], [4, 5], [6, 7]], [[0, 1, 2], [3]])


@pytest.fixture(scope="module")
def model() -> Encoder:
    config = EncoderConfig(**SMALL, layers=1, pooling="hierarchical", head="labels")
    return moved(Encoder(config, vocab=9, sentences=MARKS, rngs=nnx.Rngs(0)))


@pytest.fixture(scope="module")
def called(model: Encoder) -> Any:
    read = Taps(read=("pool.*",))
    return jax.jit(
        lambda tokens, lengths: (
            model(tokens, lengths=lengths, capture=Capture()),
            model(tokens, lengths=lengths, capture=read).taps,
        )
    )


def wide(layer: Any) -> list[np.ndarray]:
    parts = layer.features.kernel, layer.features.bias, layer.queries
    return [np.asarray(part[...], np.float64) for part in parts]


def pooled(layer: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Σ_j softmax_j(u·tanh(W x_j + b)) x_j, and the weights."""
    kernel, bias, queries = wide(layer)
    powers = np.exp(np.tanh(x @ kernel + bias) @ queries[0])
    return powers / powers.sum() @ x, powers / powers.sum()


def test_a_text_is_the_papers_formula_over_its_sentences(model: Encoder, called: Any) -> None:
    output, taps = called(TOKENS, LENGTHS)
    layer = model.pool.layer
    for row, sentences in enumerate(SENTENCES):
        states = np.asarray(output.states[row], np.float64)
        each = [pooled(layer.of_words, states[own]) for own in sentences]
        text, of_sentences = pooled(layer.of_sentences, np.stack([vector for vector, _ in each]))
        np.testing.assert_allclose(output.pooled[row], text, atol=1e-5)
        expected, words = np.zeros(8), np.zeros(8)
        for own, (_, weights), of_own in zip(sentences, each, of_sentences, strict=True):
            words[own], expected[own] = weights, of_own * weights
        np.testing.assert_allclose(output.weights["pool"][row, 0, 0], expected, atol=1e-5)
        np.testing.assert_allclose(taps["pool.weights"][row, 0, 0], expected, atol=1e-5)
        np.testing.assert_allclose(taps["pool.words"][row, 0], words, atol=1e-5)
        there = np.pad(of_sentences, (0, 8 - len(sentences)))
        np.testing.assert_allclose(taps["pool.sentences"][row, 0], there, atol=1e-5)
    # Nothing of padding: no weight, and no sentence of its own.
    assert not np.asarray(output.weights["pool"][1, 0, 0, 4:]).any()


def test_what_padding_holds_does_not_matter(called: Any) -> None:
    output, _ = called(TOKENS, LENGTHS)
    other = np.array([TOKENS[0], [*TOKENS[1, :4], END, 3, END, 5]])
    np.testing.assert_allclose(called(other, LENGTHS)[0].logits, output.logits, atol=1e-6)
    # An end in another place is another text.
    moved_end = TOKENS.copy()
    moved_end[0, 4:6] = moved_end[0, 5:3:-1]
    assert np.abs(called(moved_end, LENGTHS)[0].logits[0] - output.logits[0]).max() > 1e-4


def test_sentences_one_behind_the_other_are_those_of_the_layer_of_padded_ones() -> None:
    layer = moved(HierarchicalPooling(8, 2, rngs=nnx.Rngs(0)))
    x = jax.random.normal(jax.random.key(0), (1, 8, 8))
    apart = np.zeros((1, 3, 4, 8), np.float32)
    mask = np.zeros((1, 3, 4), bool)
    for number, own in enumerate(SENTENCES[0]):
        apart[0, number, : len(own)], mask[0, number, : len(own)] = x[0, own], True
    numbers = MARKS.numbers(jnp.asarray(TOKENS[:1]))
    out, weights = jax.jit(lambda: layer(jnp.asarray(apart), mask=jnp.asarray(mask)))()
    found = jax.jit(lambda: layer.of_text(x, numbers))()
    np.testing.assert_allclose(found.out, out, atol=1e-5)
    np.testing.assert_allclose(found.of_sentences[..., :3], weights, atol=1e-6)
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-6)
    with pytest.raises(ValueError, match=r"^words or sentences are given"):
        HierarchicalPooling(8, words=lambda x, mask: x, rngs=nnx.Rngs(0)).of_text(x, numbers)


def test_what_cannot_know_its_sentences_is_one_clear_line(model: Encoder) -> None:
    line = r"^model.pooling is 'hierarchical': no token is known to end a sentence"
    for marks in (None, SentenceMarks(())):
        with pytest.raises(InputError, match=line):
            Encoder(model.config, vocab=9, sentences=marks, rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match=r"hierarchical pools words to sentences first, and here there"):
        GraphConfig(**SMALL, pooling="hierarchical")
    with pytest.raises(ValueError, match=r"^sentences are missing: the pool is of HierarchicalPooling$"):
        model.pool(jnp.ones((1, 2, 8)))


def test_ends_are_tokens_of_marks_alone() -> None:
    names = ["[CLS]", "good", ".", " .", "?!", '."', '"', "", "3.5", "u.s.", "。", ")"]
    assert sentence_ends(names) == ((2, 3, 4, 5, 10), (6, 7, 11))
