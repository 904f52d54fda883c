"""Noise: which tokens it takes, how many, and that the seed alone decides."""

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import encoded_corpus
from attnjax.data.text.example import Example
from attnjax.data.text.noise import noised, switchout, tokendrop, tokenmask, word_dropout
from attnjax.data.text.noise_config import NoiseConfig
from attnjax.data.text.tokenizer import BOS, EOS, PAD, UNK

TOKENS = np.where(np.arange(40) < 30, 7, PAD).astype(np.int32) * np.ones((500, 1), np.int32)


def test_the_share_of_unknown_tokens_is_the_rate():
    noisy = word_dropout(TOKENS, 0.2, [0, 0])
    assert abs((noisy[:, :30] == UNK).mean() - 0.2) < 0.015


def test_padding_and_the_other_tokens_stay():
    noisy = word_dropout(TOKENS, 0.2, [0, 0])
    assert (noisy[:, 30:] == PAD).all()
    assert ((noisy == TOKENS) | (noisy == UNK)).all()
    assert noisy.dtype == np.int32


def test_the_seed_decides_which_tokens():
    same, other = word_dropout(TOKENS, 0.2, [3, 1]), word_dropout(TOKENS, 0.2, [3, 2])
    assert (word_dropout(TOKENS, 0.2, [3, 1]) == same).all()
    assert (same != other).any()


NUMBERS = np.tile(np.array([BOS, 10, 11, 12, 13, EOS, PAD], np.int32), (20_000, 1))


def shares(changed, temperature):
    """The shares of rows with 0 to 3 changes of 4, and those that the definition gives."""
    expected = np.exp(-np.arange(4) / temperature)
    return np.bincount(changed, minlength=5)[:4] / len(changed), expected / expected.sum()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_as_many_tokens_are_taken_as_the_temperature_says(temperature):
    masked = tokenmask(NUMBERS, temperature, [1])
    np.testing.assert_allclose(*shares((masked == UNK).sum(1), temperature), atol=0.02)
    taken = (masked == UNK)[:, 1:5].mean(0)
    np.testing.assert_allclose(taken, taken.mean(), atol=0.02)  # Each place as likely.


def test_what_is_dropped_leaves_no_gap_and_the_rest_in_order():
    dropped = tokendrop(NUMBERS, 1.0, [1])
    ends = (dropped != PAD).sum(1)
    np.testing.assert_allclose(*shares(6 - ends, 1.0), atol=0.02)
    for row, end in zip(dropped[:200], ends, strict=False):
        assert row[0] == BOS
        assert row[end - 1] == EOS
        assert (np.diff(row[1 : end - 1]) > 0).all()
        assert set(row[1 : end - 1]) <= {10, 11, 12, 13}


def test_switched_tokens_are_others_and_each_is_as_likely():
    switched = switchout(NUMBERS, 2.0, [1], 20)
    np.testing.assert_allclose(*shares((switched != NUMBERS).sum(1), 2.0), atol=0.02)
    first = switched[:, 1][switched[:, 1] != 10]
    found = np.bincount(first, minlength=20) / len(first)
    assert found[:4].sum() == found[10] == 0
    np.testing.assert_allclose(np.delete(found, [0, 1, 2, 3, 10]), 1 / 15, atol=0.02)
    assert switchout(NUMBERS[:1], 2.0, [1], 5).tolist() == NUMBERS[:1].tolist()  # There is no other.


def test_a_batch_has_the_noise_of_its_data_by_the_step():
    pairs = {"train": [Example("<es> abc", "xy"), Example("<es> abcd", "yx")] * 30}
    noise = NoiseConfig(tokendrop=2.0, tokenmask=2.0, switchout=2.0)
    data = TranslationData(train="f", tags=("<es>",), noise=noise)
    corpus = encoded_corpus(pairs, data)
    clean, found, again, other = (
        noised(corpus.train, given, corpus.encoder, step)
        for given, step in ((TranslationData(train="f"), 1), (data, 1), (data, 1), (data, 2))
    )
    assert clean["source"] is corpus.train["source"]
    (tag,) = corpus.encoder.source.tag_ids
    assert (found["source"][:, 0] == tag).all()
    assert ((found["source"] != PAD).sum(1) == found["source_lengths"]).all()
    assert (found["source_lengths"] < clean["source_lengths"]).any()
    assert (found["target"] != clean["target"]).any()
    assert ((found["target"] == EOS) == (clean["target"] == EOS)).all()
    for name in found:
        assert (found[name] == again[name]).all()
    assert (found["source"] != other["source"]).any()
    assert {array.dtype for array in found.values()} == {np.dtype(np.int32)}


def test_a_negative_temperature_is_named():
    with pytest.raises(InputError, match=r"noise.switchout is -1: expected a temperature, 0 or more"):
        NoiseConfig(switchout=-1)
