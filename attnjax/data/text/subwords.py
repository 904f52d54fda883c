"""Subword regularisation: texts in other pieces at every step, by BPE-dropout or by a unigram model.

It begins from ids, whose pieces have the text: nothing else of a corpus need be kept. `tokenizers` draws by
chance of its own, which no seed decides; here the same seed gives the same pieces.
"""

import itertools
import math
import random
from collections.abc import Mapping, Sequence

from attnjax.data.text.tokenizer import UNK, Tokenizer

UNKNOWN = 10.0
"""By so much an unknown character is less likely than the least likely piece, as in `tokenizers`."""

Ranks = Mapping[tuple[str, str], int]
"""The pairs that byte-pair encoding merges, by their order."""


def bpe_dropout(word: Sequence[str], ranks: Ranks, rate: float, rng: random.Random) -> list[str]:
    """Returns a word in pieces: at every step each merge that is possible is left out by chance.

    Of those that are left the first by rank is done, wherever it is left; where none is, the word is done.

    Args:
      word: its characters.
      ranks: the merges.
      rate: the chance that a merge is left out; 0 for plain byte-pair encoding.
      rng: draws.

    References:
      Provilkov et al., BPE-Dropout, 2019, arXiv:1910.13267.

    Example:
      >>> ranks = {("a", "b"): 0, ("ab", "c"): 1}
      >>> bpe_dropout("abcab", ranks, 0.0, random.Random(0)), bpe_dropout("ab", ranks, 1.0, random.Random(0))
      (['abc', 'ab'], ['a', 'b'])
    """
    pieces = list(word)
    while len(pieces) > 1:
        pairs = [
            (ranks[pair], place)
            for place, pair in enumerate(itertools.pairwise(pieces))
            if pair in ranks and (rate == 0 or rng.random() >= rate)
        ]
        if not pairs:
            break
        first = min(pairs)[0]
        places = {place for rank, place in pairs if rank == first}
        merged, i = list[str](), 0
        while i < len(pieces):
            merged.append(pieces[i] + pieces[i + 1] if i in places else pieces[i])
            i += 1 + (i in places)
        pieces = merged
    return pieces


class UnigramSampler:
    """A unigram model that draws: each way to cut a word has probability ∝ (product of its pieces')^α.

    Args:
      scores: the log probability of each piece; a character that is none is taken for one that is unlikely.
      alpha: α; 0 makes all ways as likely, much above 1 the best one.

    References:
      Kudo, Subword Regularization, 2018, arXiv:1804.10959 (forward filtering, backward sampling).

    Example:
      >>> sampler = UnigramSampler({"a": -1.0, "b": -9.0, "bc": -1.0, "c": -9.0}, alpha=1.0)
      >>> sampler("abc", random.Random(0))
      ['a', 'bc']
    """

    def __init__(self, scores: Mapping[str, float], alpha: float) -> None:
        self._scores, self._alpha = scores, alpha
        self._longest = max(map(len, scores), default=1)
        self._unknown = min(scores.values(), default=0.0) - UNKNOWN

    def __call__(self, word: str, rng: random.Random) -> list[str]:
        """Returns a word in pieces that are drawn."""
        sums = [0.0] + [-math.inf] * len(word)
        ways: list[list[tuple[int, float]]] = [[]]
        for end in range(1, len(word) + 1):
            own = []
            for start in range(max(0, end - self._longest), end):
                score = self._scores.get(word[start:end], self._unknown if end - start == 1 else None)
                if score is not None:
                    own.append((start, sums[start] + self._alpha * score))
            top = max(value for _, value in own)
            sums[end] = top + math.log(sum(math.exp(value - top) for _, value in own))
            ways.append(own)
        pieces, end = list[str](), len(word)
        while end:
            drawn, start = rng.random(), end
            for start, value in ways[end]:  # noqa: B007 - the last one takes what rounding leaves.
                drawn -= math.exp(value - sums[end])
                if drawn < 0:
                    break
            pieces.append(word[start:end])
            end = start
        return pieces[::-1]


class Resegmenter:
    """A tokenizer's ids in other pieces of the same text; tags and unknown tokens stay as they are.

    Args:
      tokenizer: of pieces, not of characters.
      dropout: of merges, for byte-pair encoding.
      alpha: for a unigram model; None: it always takes the best way.
    """

    def __init__(self, tokenizer: Tokenizer, *, dropout: float, alpha: float | None) -> None:
        self._tokenizer, self._dropout = tokenizer, dropout
        self._unigram = UnigramSampler(tokenizer.scores, alpha) if alpha is not None else None
        self._fixed = {UNK, *tokenizer.tag_ids}
        self._active = alpha is not None or dropout > 0

    def __call__(self, ids: Sequence[int], rng: random.Random) -> list[int]:
        """Returns ids of the same text."""
        if not self._active:
            return list(ids)
        found, run = list[int](), list[int]()
        for token in [*ids, UNK]:
            if token not in self._fixed:
                run.append(token)
                continue
            for word in self._tokenizer.words(run) if run else ():
                found += self._tokenizer.ids_of(self._cut(word, rng))
            run = []
            found.append(token)
        return found[:-1]

    def _cut(self, word: str, rng: random.Random) -> list[str]:
        if self._unigram is not None:
            return self._unigram(word, rng)
        return bpe_dropout(word, self._tokenizer.merges, self._dropout, rng)
