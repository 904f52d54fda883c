"""An encoder on the disk and beyond its widths."""

import dataclasses
import shutil

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import encoded_corpus
from attnjax.data.text.encoder import TextEncoder
from attnjax.data.text.example import Example
from attnjax.data.text.tokenizer import Tokenizer

TEXTS = ["abc", "abcabcabc", "abd"]


@pytest.fixture
def encoder():
    parts = {"train": [Example(text, "xy") for text in TEXTS]}
    return encoded_corpus(parts, TranslationData(train="f")).encoder


def test_a_longer_text_to_translate_widens_the_array(encoder):
    assert encoder.sources(["abc" * 5])["source"].shape == (1, 24)
    assert encoder.sources(["abc" * 5, "a" * 25])["source"].shape == (2, 48)  # Few shapes for all lengths.
    assert encoder.sources(["abc" * 5], most=20)["source"].shape == (1, 20)
    assert encoder.sources(["abc"], most=20)["source"].shape == (1, 12)


def test_short_texts_to_translate_have_narrow_arrays_and_come_with_their_like(encoder):
    wide = dataclasses.replace(encoder, source_width=116)
    texts = ["a" * length for length in (100, 10, 40, 33, 59, 5)]
    widths = [wide.sources([text])["source"].shape[1] for text in texts]
    assert widths == [116, 32, 60, 60, 60, 32]  # By its own length alone, whatever comes with it.
    assert wide.by_width(texts) == [[5, 1], [3, 2, 4], [0]]
    assert dataclasses.replace(encoder, source_width=40).sources(["abc"])["source"].shape[1] == 40


def test_a_loaded_encoder_is_the_saved_one(encoder, tmp_path):
    assert not TextEncoder.saved_in(tmp_path)
    encoder.save(tmp_path)
    assert TextEncoder.saved_in(tmp_path)
    loaded = TextEncoder.load(tmp_path)
    for name, array in encoder.sources(TEXTS).items():
        np.testing.assert_array_equal(array, loaded.sources(TEXTS)[name])
    assert (loaded.source_width, loaded.target_width) == (12, 4)


def test_what_was_saved_in_part_does_not_count(encoder, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Tokenizer, "save", refuse)
    with pytest.raises(OSError, match="disk full"):
        encoder.save(tmp_path)
    assert not TextEncoder.saved_in(tmp_path)


def test_another_tokenizer_than_that_of_the_run_is_refused(encoder, tmp_path):
    encoder.save(tmp_path)
    shutil.copy(tmp_path / "source_tokenizer.json", tmp_path / "target_tokenizer.json")
    with pytest.raises(
        InputError, match=r"target_tokenizer.json: another tokenizer than the run was trained"
    ):
        TextEncoder.load(tmp_path)


def test_malformed_widths_are_refused(encoder, tmp_path):
    encoder.save(tmp_path)
    (tmp_path / "widths.json").write_text("{}")
    with pytest.raises(InputError, match=r"widths.json: not the widths of a trained run"):
        TextEncoder.load(tmp_path)
