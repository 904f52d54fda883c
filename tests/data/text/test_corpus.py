"""A corpus that is ready to train on, and what becomes of lines that cannot be used."""

import dataclasses
import json

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import encoded_corpus, read_corpus
from attnjax.data.text.example import Example
from attnjax.data.text.tokenizer import BOS, EOS, PAD, UNK

# The longest source, and a character that no training text has, stand in the test part.
PARTS = {
    "train": [Example("abc", "xy", place="f:1"), Example("abcabc", "xyxyx", place="f:2")],
    "test": [Example("abcabcabd", "yz", place="g:1")],
}


@pytest.fixture
def corpus():
    return encoded_corpus(PARTS, TranslationData(train="f"))


def test_arrays_hold_the_texts_with_marks_lengths_and_padding(corpus):
    x, y = corpus.encoder.target.encode(["xy"])[0]
    assert corpus.train["target"][0].tolist() == [BOS, x, y, EOS, PAD, PAD, PAD, PAD]
    assert corpus.train["source_lengths"].tolist() == [3, 6]
    assert corpus.train["source"].shape == (2, 12)
    assert corpus.encoder.sources(["abc"])["source"].shape == (1, 12)
    assert {array.dtype for array in corpus.train.values()} == {np.dtype(np.int32)}


def test_the_tokenizers_know_the_training_texts_only(corpus):
    known = corpus.train["source"][0, 1]
    assert corpus.encoder.sources(["abcabcabd"])["source"][0, 7:10].tolist() == [known, UNK, PAD]
    assert corpus.encoder.target.encode(["z"]) == [[UNK]]


def test_tags_of_the_dates_are_single_tokens(corpus):
    data = TranslationData(locales=("de", "en"))
    dates = encoded_corpus({"train": [Example("<de> 1", "2")]}, data)
    assert dates.encoder.source.pieces("<de> 1") == ["<de>", " ", "1"]
    assert corpus.encoder.source.pieces("<de>") == list("<de>")  # A corpus has no tags.


@pytest.mark.parametrize(
    ("side", "limit", "place"),
    [("source", 5, "f:2"), ("target", 6, "f:2"), ("source", 8, "g:1")],
)
def test_a_text_that_is_too_long_is_named_or_left_out_and_never_cut(side, limit, place):
    data = dataclasses.replace(TranslationData(train="f"), **{f"max_{side}_length": limit})
    parts = {**PARTS, "test": [*PARTS["test"], Example("ab", "y", place="g:2")]}
    why = f"{place}: the {side} text has {limit + 1} tokens, data.max_{side}_length is {limit}"
    with pytest.raises(InputError) as raised:
        encoded_corpus(parts, data)
    assert why in str(raised.value)
    found = encoded_corpus(parts, dataclasses.replace(data, skip_malformed=True))
    assert why in found.left_out
    kept = [example for examples in found.parts.values() for example in examples]
    assert len(kept) + len(found.left_out) == 4
    assert place not in {example.place for example in kept}
    assert len(found.train["source"]) == len(found.parts["train"])


GOOD = [f"s{i}\tt{i}" for i in range(40)]
LINES = ["only a source", *GOOD, "x" * 20 + "\ty", *(f"{i}\t" for i in range(12))]


@pytest.fixture
def data(tmp_path):
    (tmp_path / "a.tsv").write_text("\n".join(LINES))
    return TranslationData(train=tmp_path / "a.tsv", max_source_length=16, holdout=0.1)


def test_lines_that_cannot_be_used_are_counted_and_the_first_ten_are_named(data):
    with pytest.raises(InputError) as raised:
        read_corpus(data)
    start, _, rest = str(raised.value).partition(": ")
    assert start == "14 of 54 lines cannot be used"
    places, _, end = rest.partition("; and ")
    assert end == "4 more (--data.skip_malformed leaves them out)"
    assert places.count("; ") == 9
    assert places.startswith(f"{data.train}:1: 1 tab-separated column(s), expected 2")
    assert f"; {data.train}:43: the target text is empty" in places


def test_with_skip_malformed_the_rest_is_used_and_the_lines_are_reported(data, tmp_path):
    corpus = read_corpus(dataclasses.replace(data, skip_malformed=True))
    sizes, left_out = corpus.notes
    assert sizes.startswith("40 pairs: ")
    assert sizes.endswith("a vocabulary of 16 source and 16 target tokens")
    assert left_out.startswith("left out, as data.skip_malformed says: 14 of 54 lines cannot be used: ")
    corpus.save(tmp_path)
    record = json.loads((tmp_path / "data.json").read_text())
    assert (sum(record["pairs"].values()), record["left_out"]) == (40, 14)
    assert (tmp_path / "left_out.txt").read_text().splitlines() == corpus.left_out


def test_a_saved_encoder_leaves_out_the_same_lines(data):
    data = dataclasses.replace(data, skip_malformed=True)
    first = read_corpus(data)
    again = read_corpus(data, first.encoder)
    assert again.parts == first.parts
    assert again.left_out == first.left_out
    for name, array in first.train.items():
        np.testing.assert_array_equal(array, again.train[name])


@pytest.mark.parametrize(
    ("lines", "limit", "message"),
    [
        (["a"] * 11, 16, "11 of 11 lines cannot be used: "),
        ([f"{'s' * 9}{i}\tt" for i in range(11)], 4, "; nothing is left of train"),
    ],
)
def test_nothing_begins_where_all_lines_are_left_out(data, lines, limit, message):
    data.train.write_text("\n".join(lines))
    with pytest.raises(InputError, match=message):
        read_corpus(dataclasses.replace(data, skip_malformed=True, max_source_length=limit))


def test_clean_data_has_one_note(data):
    data.train.write_text("\n".join(GOOD))
    (note,) = read_corpus(data).notes
    assert note.startswith("40 pairs: ")
    assert read_corpus(data).left_out == []
