"""Word dropout: which tokens it takes, how many, and that the seed alone decides."""

import numpy as np

from attnjax.data.text.noise import word_dropout
from attnjax.data.text.tokenizer import PAD, UNK

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
