"""Noise on token ids, for training only."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from attnjax.data.text.tokenizer import PAD, UNK


def word_dropout(
    tokens: Int32[np.ndarray, "B S"], rate: float, seed: Sequence[int]
) -> Int32[np.ndarray, "B S"]:
    """Returns the tokens with UNK, at probability `rate`, in the place of each but the padding.

    That is word dropout (Iyyer et al., 2015) with a stand-in. The seed says which tokens; nothing else has a
    part in it. A model that cannot count on every token relies less on the exact layout of texts it has seen.

    >>> word_dropout(np.array([[5, 6, 7, 8, 0]], np.int32), 0.5, [0, 2])
    array([[5, 3, 3, 3, 0]], dtype=int32)
    """
    chosen = np.random.default_rng(seed).random(tokens.shape, np.float32) < rate
    return np.where(chosen & (tokens != PAD), np.int32(UNK), tokens)
