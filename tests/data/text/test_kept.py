"""Generated corpora in the user's cache: the same as made anew, and made anew where anything differs."""

import dataclasses

import numpy as np
import pytest

from attnjax.data.text import kept
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import read_corpus
from attnjax.data.text.kept import kept_corpus

DATA = TranslationData(examples=300, evaluation_examples=20, locales=("de", "fa"))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kept, "WORTH_KEEPING", 100)
    return tmp_path / "attnjax" / "dates"


@pytest.fixture
def made(monkeypatch):
    """The settings whose examples were made."""
    calls = []
    monkeypatch.setattr(kept, "read_corpus", lambda data: calls.append(data) or read_corpus(data))
    return calls


def same(one, other):
    for name, array in other.train.items():
        np.testing.assert_array_equal(one.train[name], array)
        assert type(one.train[name]) is np.ndarray
        assert one.train[name].dtype == array.dtype
    held_out = {part: examples for part, examples in other.parts.items() if part != "train"}
    assert {part: one.parts[part] for part in held_out} == held_out
    assert (one.notes, one.record) == (other.notes, other.record)
    texts = ["<de> 1.2.2003", "2003年"]
    assert one.encoder.source.encode(texts) == other.encoder.source.encode(texts)
    assert one.encoder.target_width == other.encoder.target_width


def test_what_was_kept_is_what_is_made(made):
    for _ in range(2):
        same(kept_corpus(DATA), read_corpus(DATA))
    assert len(made) == 1


def test_other_settings_and_other_code_are_made_anew(made, monkeypatch):
    kept_corpus(DATA)
    same(kept_corpus(dataclasses.replace(DATA, seed=1)), read_corpus(dataclasses.replace(DATA, seed=1)))
    kept_corpus(dataclasses.replace(DATA, word_dropout=0.3))  # Noise is no part of the corpus.
    assert len(made) == 2
    monkeypatch.setattr(kept, "version", lambda library: "0")
    kept_corpus(DATA)
    assert len(made) == 3


@pytest.mark.parametrize("name", ["corpus.json", "source.npy", "widths.json", "target_tokenizer.json"])
def test_what_cannot_be_read_is_made_again(made, cache, name):
    kept_corpus(DATA)
    (folder,) = cache.iterdir()
    (folder / name).write_bytes(b"{")
    for _ in range(2):
        same(kept_corpus(DATA), read_corpus(DATA))
    assert len(made) == 2


def test_the_newest_few_are_kept_and_small_sets_and_a_place_that_refuses_need_none(cache, monkeypatch):
    monkeypatch.setattr(kept, "MOST", 2)
    for seed in range(4):
        kept_corpus(dataclasses.replace(DATA, seed=seed))
    assert len(list(cache.iterdir())) == 2
    kept_corpus(dataclasses.replace(DATA, examples=50))
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    same(kept_corpus(DATA), read_corpus(DATA))
