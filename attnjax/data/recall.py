"""Multi-query associative recall, the task of Zoology."""

import numpy as np
from jaxtyping import Float, Int

from attnjax.data.sequences import AS_TRAINED, NOT_ASKED, Arrays
from attnjax.data.synthetic_config import RecallData

BLANK = 0
HALF, TWICE = "half as many pairs", "twice as many pairs"


class Recall:
    """k₁ v₁ … k_P v_P, then each of the keys once more, at even distances; at a key its value is asked.

    Of V tokens 0 is the blank, 1 … V/2-1 are keys and V/2 … V-1 values; P distinct keys and P distinct values
    are drawn evenly. After the pairs come (T-2P)/2 places of two tokens. For k₁, k₂, … one after another a
    place is drawn that is still free, place g (from 0) with probability ∝ (g+1)^(a-1), where a is `power`.
    The key is the first token of its place; all others are blanks.

    These are the sequences of Zoology: measuring and improving recall in efficient language models (Arora et
    al., 2023), section 4.2, as its code makes them without `random_non_queries`. T grows to 4P where the
    setting has more pairs than fit.

    >>> data = Recall(RecallData(pairs=2, length=10, vocab=10))
    >>> made = data.rows(1, np.random.default_rng(5))
    >>> print(*map(data.word, made["tokens"][0]))
    k4 v5 k2 v9 k4 · k2 · · ·
    >>> made["answers"]
    array([[-1, -1, -1, -1,  5, -1,  9, -1, -1, -1]], dtype=int32)
    """

    settings = (AS_TRAINED, HALF, TWICE)

    def __init__(self, config: RecallData) -> None:
        self.config = config

    @property
    def vocab(self) -> int:
        return self.config.vocab

    def rows(self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED) -> Arrays:
        """ "tokens" and "answers" [count, T] of a setting."""
        pairs = self._pairs(setting)
        length, half = max(self.config.length, 4 * pairs), self.config.vocab // 2
        keys = 1 + _drawn(rng, count, np.ones(half - 1), pairs)
        values = half + _drawn(rng, count, np.ones(self.config.vocab - half), pairs)
        tokens = np.full((count, length), BLANK, np.int32)
        tokens[:, 0 : 2 * pairs : 2], tokens[:, 1 : 2 * pairs : 2] = keys, values
        gaps = np.arange(1, (length - 2 * pairs) // 2 + 1) ** (self.config.power - 1)
        asked = 2 * pairs + 2 * _drawn(rng, count, gaps, pairs)
        answers = np.full((count, length), NOT_ASKED, np.int32)
        np.put_along_axis(tokens, asked, keys.astype(np.int32), axis=1)
        np.put_along_axis(answers, asked, values.astype(np.int32), axis=1)
        return {"tokens": tokens, "answers": answers}

    def word(self, token: int) -> str:
        """k or v with the token's number."""
        return "·" if token == BLANK else f"{'k' if token < self.config.vocab // 2 else 'v'}{token}"

    def _pairs(self, setting: str) -> int:
        pairs = self.config.pairs
        return {AS_TRAINED: pairs, HALF: pairs // 2, TWICE: 2 * pairs}[setting]


def _drawn(
    rng: np.random.Generator, rows: int, weights: Float[np.ndarray, " n"], count: int
) -> Int[np.ndarray, "rows count"]:
    """Numbers below n, drawn one after another without replacement with the given weights.

    That is the order in which n clocks ring whose times are exponential with these rates.
    """
    times = rng.exponential(size=(rows, len(weights))) / weights
    return np.argsort(times, axis=1)[:, :count]
