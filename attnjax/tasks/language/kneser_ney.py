"""Interpolated Kneser–Ney smoothing of n-grams, exact, on integer keys of NumPy.

References:
  Kneser & Ney, Improved backing-off for m-gram language modeling, 1995.
  Chen & Goodman, An Empirical Study of Smoothing Techniques for Language Modeling, 1999 (interpolated).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt64

_BITS = 63


class _Order(NamedTuple):
    """The n-grams of one length."""

    grams: UInt64[np.ndarray, " g"]
    counts: Int[np.ndarray, " g"]
    histories: UInt64[np.ndarray, " h"]
    totals: Int[np.ndarray, " h"]
    followers: Int[np.ndarray, " h"]
    discount: float


class KneserNey:
    """A model of the next token given the n-1 before it.

    With c the count of an n-gram, or for the shorter ones the number of distinct tokens before it,
    p(w | h) = max(c(hw) - d, 0) / c(h·) + d · N(h·) / c(h·) · p(w | h without its first token),
    where N(h·) is the number of distinct tokens after h and d = n₁ / (n₁ + 2 n₂) by the numbers of n-grams of
    one length that are counted once and twice (1/2 where that says nothing). Below single tokens all are as
    likely. Before a document stand n-1 marks.

    Args:
      documents: tokens of each, without marks.
      order: n; fewer where n tokens do not fit 63 bits.
      vocab: the number of tokens, with the mark.
      mark: the token that begins a document, and ends it.

    Example:
      >>> model = KneserNey([np.array([0, 1, 0, 1, 0])], 2, vocab=3, mark=2)
      >>> probabilities = np.exp(model.log_p(np.array([1, 1, 1]), np.array([0, 1, 2])))
      >>> bool(np.isclose(probabilities.sum(), 1)), int(probabilities.argmax())
      (True, 0)
    """

    def __init__(
        self, documents: Iterable[Int[np.ndarray, " t"]], order: int, *, vocab: int, mark: int
    ) -> None:
        self.vocab, self.mark = vocab, mark
        most = max(1, int(_BITS / np.log2(vocab)))
        self.order = min(order, most)
        marks = np.full(self.order - 1, mark, np.int64)
        keys = [self._keys(np.concatenate([marks, tokens, [mark]]), self.order) for tokens in documents]
        grams, counts = np.unique(np.concatenate(keys), return_counts=True)
        self._orders: list[_Order] = []
        for length in range(self.order, 0, -1):
            self._orders.insert(0, self._of(grams, counts))
            # Every distinct n-gram is one token before the shorter one that it ends in.
            grams, counts = np.unique(grams % np.uint64(vocab ** (length - 1)), return_counts=True)

    def log_p(
        self, histories: Int[np.ndarray, "t *n"], tokens: Int[np.ndarray, " t"]
    ) -> Float[np.ndarray, " t"]:
        """Returns the log probability of each token after the last n-1 tokens [t, n-1] before it."""
        histories = histories.reshape(len(tokens), -1)
        history = np.zeros(len(tokens), np.uint64)
        found = np.full(len(tokens), 1 / self.vocab)
        for length, own in enumerate(self._orders, 1):
            if length > 1:
                earlier = histories[:, -(length - 1)].astype(np.uint64)
                history = history + earlier * np.uint64(self.vocab ** (length - 2))
            place, there = _find(own.histories, history)
            total = np.where(there, own.totals[place], 1)
            gram, seen = _find(own.grams, history * np.uint64(self.vocab) + tokens.astype(np.uint64))
            kept = np.where(seen, own.counts[gram] - own.discount, 0)
            mass = np.where(there, own.discount * own.followers[place] / total, 1)
            found = np.where(there, kept / total, 0) + mass * found
        return np.log(found)

    def log_p_of(
        self, tokens: Int[np.ndarray, " t"], segments: Int[np.ndarray, " t"], answers: Int[np.ndarray, " t"]
    ) -> Float[np.ndarray, " t"]:
        """Returns the log probabilities of the answers in a row of documents, each with its mark."""
        width = self.order - 1
        before = np.concatenate([np.full(width, self.mark), tokens])
        own = np.concatenate([np.full(width, -1), segments])
        histories = np.lib.stride_tricks.sliding_window_view(before, max(width, 1))[-len(tokens) :]
        alike = np.lib.stride_tricks.sliding_window_view(own, max(width, 1))[-len(tokens) :]
        return self.log_p(np.where(alike == segments[:, None], histories, self.mark), answers)

    def _keys(self, tokens: Int[np.ndarray, " t"], length: int) -> UInt64[np.ndarray, " n"]:
        count = len(tokens) - length + 1
        keys = np.zeros(count, np.uint64)
        for i in range(length):
            keys = keys * np.uint64(self.vocab) + tokens[i : i + count].astype(np.uint64)
        return keys

    def _of(self, grams: UInt64[np.ndarray, " g"], counts: Int[np.ndarray, " g"]) -> _Order:
        histories, first = np.unique(grams // np.uint64(self.vocab), return_index=True)
        totals = np.add.reduceat(counts, first)
        followers = np.diff(np.append(first, len(grams)))
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / (once + 2 * twice) if once and twice else 0.5
        return _Order(grams, counts, histories, totals, followers, discount)


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places of keys, and whether they are there."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return places, keys[places] == wanted
