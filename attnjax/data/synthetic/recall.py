"""Multi-query associative recall, the task of Zoology."""

import numpy as np
from jaxtyping import Float, Int32

from attnjax.data.synthetic.config import RecallData
from attnjax.data.synthetic.questions import AS_TRAINED, NOT_ASKED, Arrays, Split

BLANK = 0
MOST, TWICE = "most pairs trained", "twice as many pairs"


class Recall:
    """k₁ v₁ … k_n v_n, then each of the keys once more, at even distances; at a key its value is asked.

    Of V tokens 0 is the blank, 1 … V/2-1 are keys and V/2 … V-1 values; n distinct keys and n distinct values
    are drawn evenly. After the pairs come (T-2n)/2 places of two tokens. For k₁, k₂, … one after another a
    place is drawn that is still free, place g (from 0) with probability ∝ (g+1)^(a-1), where a is `power`.
    The key is the first token of its place; all others are blanks.

    These are the sequences of Zoology: measuring and improving recall in efficient language models (Arora et
    al., 2023, arXiv:2312.04927), as its code makes them without `random_non_queries`, but for n: it is even
    in 1 … P for each sequence of training, P in the second setting, and in the third 2P, where T grows to 8P
    if it is shorter.

    >>> data = Recall(RecallData(pairs=2, length=10, vocab=10))
    >>> made = data.rows(1, np.random.default_rng(5), MOST)
    >>> print(*map(data.word, made["tokens"][0]))
    k4 v5 k2 v9 k4 · k2 · · ·
    >>> made["answers"]
    array([[-1, -1, -1, -1,  5, -1,  9, -1, -1, -1]], dtype=int32)
    """

    settings = (AS_TRAINED, MOST, TWICE)

    def __init__(self, config: RecallData) -> None:
        self.config = config

    @property
    def vocab(self) -> int:
        """The number of tokens."""
        return self.config.vocab

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns the "tokens" and "answers" [count, T] of a setting."""
        most = 2 * self.config.pairs if setting == TWICE else self.config.pairs
        numbers = np.full(count, most)
        if setting == AS_TRAINED:
            numbers = rng.integers(1, most, count, endpoint=True)
        length = max(self.config.length, 4 * most)
        made = {name: np.empty((count, length), np.int32) for name in ("tokens", "answers")}
        for pairs in np.unique(numbers).tolist():
            chosen = numbers == pairs
            for name, array in self._sequences(int(chosen.sum()), pairs, length, rng).items():
                made[name][chosen] = array
        return made

    def word(self, token: int) -> str:
        """Returns k or v with the token's number."""
        return "·" if token == BLANK else f"{'k' if token < self.config.vocab // 2 else 'v'}{token}"

    def _sequences(self, count: int, pairs: int, length: int, rng: np.random.Generator) -> Arrays:
        """Returns `count` sequences of one number of pairs."""
        half = self.vocab // 2
        keys = 1 + _drawn(rng, count, np.ones(half - 1), pairs)
        values = half + _drawn(rng, count, np.ones(self.vocab - half), pairs)
        gaps = np.arange(1, (length - 2 * pairs) // 2 + 1) ** (self.config.power - 1)
        asked = 2 * pairs + 2 * _drawn(rng, count, gaps, pairs)
        tokens = np.full((count, length), BLANK, np.int32)
        answers = np.full((count, length), NOT_ASKED, np.int32)
        tokens[:, 0 : 2 * pairs : 2], tokens[:, 1 : 2 * pairs : 2] = keys, values
        np.put_along_axis(tokens, asked, keys, axis=1)
        np.put_along_axis(answers, asked, values, axis=1)
        return {"tokens": tokens, "answers": answers}


def _drawn(
    rng: np.random.Generator, rows: int, weights: Float[np.ndarray, " n"], count: int
) -> Int32[np.ndarray, "rows count"]:
    """Returns numbers below n, drawn one after another without replacement with the given weights.

    That is the order in which n clocks ring whose times are exponential with these rates.
    """
    times = rng.exponential(size=(rows, len(weights))) / weights
    return np.argsort(times, axis=1)[:, :count].astype(np.int32)
