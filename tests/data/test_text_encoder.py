"""Examples as arrays."""

import dataclasses

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.config import TranslationData
from attnjax.data.example import Example
from attnjax.data.text_encoder import TextEncoder
from attnjax.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer

# The longest source, and a character that no training text has, stand in the test part.
SPLITS = {
    "train": [Example("abc", "xy", place="f:1"), Example("abcabc", "xyxyx", place="f:2")],
    "test": [Example("abcabcabd", "yz", place="g:1")],
}


@pytest.fixture
def fitted():
    return TextEncoder.fit(SPLITS, TranslationData(train="f"))


def test_arrays_hold_the_texts_with_marks_lengths_and_padding(fitted):
    encoder, arrays = fitted
    x, y = encoder.target.encode(["xy"])[0]
    assert arrays["train"]["target"][0].tolist() == [BOS, x, y, EOS, PAD, PAD, PAD, PAD]
    assert arrays["train"]["source_lengths"].tolist() == [3, 6]
    assert arrays["train"]["source"].shape == (2, 12)
    assert arrays["test"]["source"].shape == (1, 12)
    assert {array.dtype for array in arrays["train"].values()} == {np.dtype(np.int32)}
    for part, examples in SPLITS.items():
        for name, array in encoder.arrays(examples).items():
            np.testing.assert_array_equal(array, arrays[part][name])


def test_the_tokenizers_know_the_training_texts_only(fitted):
    _, arrays = fitted
    assert arrays["test"]["source"][0, 7:10].tolist() == [arrays["train"]["source"][0, 1], UNK, PAD]
    assert arrays["test"]["target"][0, 2:4].tolist() == [UNK, EOS]


def test_tags_of_the_dates_are_single_tokens(fitted):
    data = TranslationData(locales=("de", "en"))
    encoder, _ = TextEncoder.fit({"train": [Example("<de> 1", "2")]}, data)
    assert encoder.source.pieces("<de> 1") == ["<de>", " ", "1"]
    assert fitted[0].source.pieces("<de>") == list("<de>")  # A corpus has no tags.


def test_a_longer_text_to_translate_widens_the_array(fitted):
    assert fitted[0].sources(["abc" * 5])["source"].shape == (1, 16)
    assert fitted[0].sources(["abc"])["source"].shape == (1, 12)


@pytest.mark.parametrize(
    ("side", "limit", "place"),
    [("source", 5, "f:2"), ("target", 6, "f:2"), ("source", 2, "f:1"), ("source", 8, "g:1")],
)
def test_a_text_that_is_too_long_is_named_by_file_and_line(side, limit, place):
    data = dataclasses.replace(TranslationData(train="f"), **{f"max_{side}_length": limit})
    with pytest.raises(
        InputError, match=f"{place}: the {side} text has . tokens, data.max_{side}_length is {limit}"
    ):
        TextEncoder.fit(SPLITS, data)


def test_a_loaded_encoder_is_the_saved_one(fitted, tmp_path):
    encoder, arrays = fitted
    assert not TextEncoder.saved_in(tmp_path)
    encoder.save(tmp_path)
    assert TextEncoder.saved_in(tmp_path)
    for name, array in TextEncoder.load(tmp_path).arrays(SPLITS["test"]).items():
        np.testing.assert_array_equal(array, arrays["test"][name])


def test_what_was_saved_in_part_does_not_count(fitted, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Tokenizer, "save", refuse)
    with pytest.raises(OSError, match="disk full"):
        fitted[0].save(tmp_path)
    assert not TextEncoder.saved_in(tmp_path)


def test_malformed_widths_are_refused(fitted, tmp_path):
    fitted[0].save(tmp_path)
    (tmp_path / "widths.json").write_text("{}")
    with pytest.raises(InputError, match=r"widths.json: not the widths of a trained run"):
        TextEncoder.load(tmp_path)
