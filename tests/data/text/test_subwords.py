"""Subword regularisation: pieces with the probabilities that the papers give, by the seed alone."""

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text.augmented import augmented
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import encoded_corpus
from attnjax.data.text.example import Example
from attnjax.data.text.subwords import Resegmenter, UnigramSampler, bpe_dropout
from attnjax.data.text.tokenizer import UNK, Tokenizer

TEXTS = [f"die {a}{b}ung der {b}{a}keit" for a, b in itertools.product(["frei", "schön", "wahr"], repeat=2)]
DRAWS = 4000


@pytest.fixture(scope="module", params=["bpe", "unigram", "byte_level"])
def tokenizer(request):
    return Tokenizer.train(TEXTS, request.param, 300 if request.param == "byte_level" else 60, tags=["<x>"])


def regular(tokenizer, strength):
    """A strength of 0 to 1, of either kind."""
    if tokenizer.scores:
        return Resegmenter(tokenizer, dropout=0.0, alpha=100.0 if strength == 0 else 1 - strength)
    return Resegmenter(tokenizer, dropout=strength or 1e-12, alpha=None)


def test_texts_stay_and_pieces_are_others(tokenizer):
    rng, text = random.Random(0), "<x> die Freiung der schönkeit"
    (ids,) = tokenizer.encode([text])
    found = {tuple(regular(tokenizer, 0.9)(ids, rng)) for _ in range(50)}
    assert len(found) > 3  # A unigram model of so few texts has few pieces.
    expected = tokenizer.decode(ids)
    assert {tokenizer.decode(own) for own in found} == {expected}
    assert {own[0] for own in found} == {ids[0]}
    assert len({own.count(UNK) for own in found}) == 1


def test_without_strength_the_pieces_are_those_of_the_library(tokenizer):
    rng = random.Random(0)
    for ids in tokenizer.encode([*TEXTS, "<x>der <x> <x>", "", "Ж die  ЖЖ frei"]):
        assert regular(tokenizer, 0)(ids, rng) == ids


def shares(draws):
    counts = Counter(map(tuple, draws))
    return {pieces: count / DRAWS for pieces, count in counts.items()}


def test_merges_are_left_out_as_the_paper_says():
    """Of "abc" with merges ab and abc: ab is tried until it is done or, both pairs being one, left out."""
    rng, p = random.Random(0), 0.3
    ranks = {("a", "b"): 0, ("ab", "c"): 1, ("b", "c"): 2}
    found = shares(bpe_dropout("abc", ranks, p, rng) for _ in range(DRAWS))
    expected = {
        ("abc",): (1 - p) * (1 - p),
        ("ab", "c"): (1 - p) * p,
        ("a", "bc"): p * (1 - p),
        ("a", "b", "c"): p * p,
    }
    assert found == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_unigram_model_draws_each_way_by_its_probability(alpha):
    scores = {"a": -1.0, "b": -2.0, "ab": -2.2, "c": -1.5, "bc": -3.0, "abc": -4.0}
    sampler, rng, word = UnigramSampler(scores, alpha), random.Random(0), "abcx"
    ways = {}
    for cuts in itertools.product([False, True], repeat=3):
        places = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), 4]
        pieces = tuple(word[a:b] for a, b in itertools.pairwise(places))
        if all(piece in scores or piece == "x" for piece in pieces):
            ways[pieces] = math.exp(alpha * sum(scores.get(piece, -14.0) for piece in pieces))
    total = sum(ways.values())
    found = shares(sampler(word, rng) for _ in range(DRAWS))
    assert found == pytest.approx({way: value / total for way, value in ways.items()}, abs=0.03)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_batch_is_cut_anew_at_every_step_into_the_same_shapes(kind):
    how = {"bpe_dropout": 0.2} if kind == "bpe" else {"unigram_alpha": 0.1}
    data = TranslationData(train="f", tokenizer=kind, vocab_size=40, **how)
    corpus = encoded_corpus({"train": [Example(text, text[::-1]) for text in TEXTS]}, data)
    first, again, other = (augmented(corpus.train, data, corpus.encoder, step) for step in (1, 1, 2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
        assert array.shape == corpus.train[name].shape
        assert array.dtype == np.int32
    assert (first["source"] != other["source"]).any()
    assert (first["target"] != other["target"]).any()
    for text, source, size, target in zip(TEXTS, *(first[n] for n in first), strict=True):
        assert corpus.encoder.source.decode(source[:size].tolist()) == text
        assert corpus.encoder.target.decode(target[1:].tolist()) == text[::-1]
    narrow = {**corpus.train, "source": corpus.train["source"][:, : corpus.train["source_lengths"].max()]}
    assert augmented(narrow, data, corpus.encoder, 1)["source"].shape == narrow["source"].shape


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bpe_dropout": 0.1}, "data.tokenizer is 'characters', expected 'bpe' or 'byte_level'"),
        ({"bpe_dropout": 1.0, "tokenizer": "bpe"}, r"data.bpe_dropout is 1.0: it must lie in \[0, 1\)"),
        ({"unigram_alpha": 0.1, "tokenizer": "bpe"}, "data.tokenizer is 'bpe', expected 'unigram'"),
        ({"tokenizer": "byte_level", "vocab_size": 259}, "data.vocab_size is 259: byte_level needs 260"),
    ],
)
def test_settings_that_do_not_fit_are_named(fields, message):
    with pytest.raises(InputError, match=message):
        TranslationData(**fields)
