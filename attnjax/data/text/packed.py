"""Documents one after the other in rows of one length, as a pure function of (seed, step)."""

from functools import lru_cache

import numpy as np
from jaxtyping import Int, UInt64

from attnjax.config import require
from attnjax.data.hosts import host_rows
from attnjax.data.text.documents import Documents

Arrays = dict[str, np.ndarray]
_ROUNDS = 4


class Packed:
    """Documents one after the other, each with a mark before it, in rows of `length` tokens.

    Every epoch has a new order of the documents and of the rows. A row knows by "segments" which of its
    tokens belong together; the answer at the last token of a document is the mark of the next one. What is
    held in memory is a few numbers for each document, whatever their sizes.

    Args:
      documents: of one part.
      length: T, tokens of a row.
      batch_size: rows of a batch, of all hosts together.
      seed: decides the orders.
      mark: the token before each document.

    Raises:
      InputError: all documents together are shorter than a row.
    """

    def __init__(
        self, documents: Documents, length: int, *, batch_size: int = 1, seed: int = 0, mark: int
    ) -> None:
        self._documents, self._length, self._mark = documents, length, mark
        self._sizes = documents.sizes + 1
        total = int(self._sizes.sum())
        self.rows = (total - 1) // length
        require(
            self.rows > 0,
            f"data.length: a row needs {length + 1} tokens, and the {len(documents)} document(s) of a part, "
            f"such as {documents.files[0]}, have {total}",
        )
        self._batch_size, self._share, self._seed = batch_size, host_rows(batch_size), seed
        self._order = lru_cache(2)(self._drawn)

    def __getitem__(self, step: int) -> Arrays:
        """Returns this host's "tokens", "answers" and "segments" [B, T] of a step, int32."""
        places = np.arange(step * self._batch_size, (step + 1) * self._batch_size)[self._share]
        epochs, within = np.divmod(places, self.rows)
        made = [self._row(int(e), int(p)) for e, p in zip(epochs, within, strict=True)]
        return {name: np.stack([row[name] for row in made]) for name in made[0]}

    def chosen(self, numbers: Int[np.ndarray, " n"]) -> Arrays:
        """Returns rows of these numbers, where documents and rows stand in their own order."""
        order = np.arange(len(self._documents))
        made = [self._cut(order, np.cumsum(self._sizes), int(number) * self._length) for number in numbers]
        return {name: np.stack([row[name] for row in made]) for name in made[0]}

    def _row(self, epoch: int, place: int) -> Arrays:
        order, ends, keys = self._order(epoch)
        row = int(shuffled(np.array([place]), self.rows, keys)[0])
        return self._cut(order, ends, row * self._length)

    def _drawn(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(len(self._documents))
        keys = rng.integers(0, 2**63, _ROUNDS, dtype=np.uint64)
        return order, np.cumsum(self._sizes[order]), keys

    def _cut(self, order: np.ndarray, ends: np.ndarray, start: int) -> Arrays:
        """Returns the row that begins at a place of the documents in an order."""
        stretch = np.empty(self._length + 1, np.int32)
        segments = np.empty(self._length + 1, np.int32)
        filled, number = 0, int(np.searchsorted(ends, start, side="right"))
        first = number
        while filled < len(stretch):
            document = int(order[number])
            size = int(self._sizes[document])
            within = start + filled - (int(ends[number]) - size)
            count = min(len(stretch) - filled, size - within)
            into = stretch[filled : filled + count]
            if within == 0:
                into[0] = self._mark
            skipped = int(within == 0)
            into[skipped:] = self._documents.read(document, within + skipped - 1, within + count - 1)
            segments[filled : filled + count] = number - first
            filled, number = filled + count, number + 1
        return {"tokens": stretch[:-1], "answers": stretch[1:], "segments": segments[:-1]}


def shuffled(
    places: Int[np.ndarray, " n"], count: int, keys: UInt64[np.ndarray, " rounds"]
) -> Int[np.ndarray, " n"]:
    """Returns where places 0 … count-1 go in a shuffle that is a function of the keys, without a table of it.

    It is a Feistel network over the next power of 4, walked until the result is below `count`.

    References:
      Black & Rogaway, Ciphers with Arbitrary Finite Domains, 2002.

    Example:
      >>> keys = np.arange(4, dtype=np.uint64)
      >>> sorted(shuffled(np.arange(10), 10, keys).tolist())
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    half = np.uint64(max(1, -(-(count - 1).bit_length() // 2)))
    mask = (np.uint64(1) << half) - np.uint64(1)
    found = places.astype(np.uint64)
    outside = np.ones(len(found), bool)
    while outside.any():
        left, right = found[outside] >> half, found[outside] & mask
        for key in keys:
            mixed = (right + key) * np.uint64(0x9E3779B97F4A7C15)
            left, right = right, left ^ ((mixed >> np.uint64(40)) & mask)
        found[outside] = (left << half) | right
        outside = found >= count
    return found.astype(np.int64)
