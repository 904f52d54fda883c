"""Several pairs of texts in one row, as a pure function of (seed, step)."""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int

from attnjax.config import require
from attnjax.data.pipeline import Batches
from attnjax.data.text.buckets import TokenStore, rows_of_tokens
from attnjax.data.text.encoder import Arrays
from attnjax.data.text.rows import Rows
from attnjax.data.text.tokenizer import PAD

OPEN = 64
"""Rows that a pair may still go into; the one that came first has it."""

Numbers = Int[np.ndarray, " n"]


class PackedPairs:
    """Batches of rows with several pairs each, one after the other on both sides.

    The seed decides which pairs share a row; every epoch has a new order of the rows. Beside "source" and
    "target" [B, W] are "source_lengths" and "target_segments" [B, W], the number from 1 of the pair that each
    token is of, 0 for padding.

    Args:
      store: the pairs.
      width: W, tokens of a row on each side.
      seed: of all that is drawn.
      batch_size: rows of a batch, of all hosts together.
      batch_tokens: tokens of a batch on both sides, padding included, in the place of `batch_size`; None:
        they are not counted.

    Raises:
      InputError: a pair is longer than a row.
    """

    def __init__(
        self, store: TokenStore, width: int, *, seed: int, batch_size: int, batch_tokens: int | None = None
    ) -> None:
        self._store, self._width = store, width
        lengths = np.stack([store.source_lengths, store.target_lengths], axis=1)
        longest = int(lengths.max(initial=0))
        require(
            longest <= width,
            f"data.packing is {width}: the longest pair has {longest} tokens on a side, with its marks",
        )
        order = np.random.default_rng([seed, 3]).permutation(len(lengths))
        row_of = packed_rows(lengths[order], width)
        self.rows = int(row_of.max()) + 1
        by_row = np.argsort(row_of, kind="stable")
        self._members = order[by_row]
        self._ends = np.cumsum(np.bincount(row_of, minlength=self.rows))
        if batch_tokens is not None:
            batch_size = rows_of_tokens(batch_tokens, 2 * width)
        self._batches = Batches({"row": np.arange(self.rows)}, batch_size, seed)

    @property
    def row_counts(self) -> set[int]:
        """The numbers of rows that batches have, of all hosts together: one."""
        return self._batches.row_counts

    def __getitem__(self, step: int) -> Arrays:
        """Returns this host's arrays of a step."""
        return self.chosen(self._batches[step]["row"])

    def chosen(self, rows: Numbers) -> Arrays:
        """Returns the arrays of rows by their numbers."""
        begins = np.concatenate([[0], self._ends])[rows]
        counts = self._ends[rows] - begins
        members = [self._members[b : b + n] for b, n in zip(begins.tolist(), counts.tolist(), strict=True)]
        number = np.concatenate([np.arange(1, n + 1, dtype=np.int32) for n in counts.tolist()])
        found: dict[str, Any] = {}
        for side, name, own in zip(
            ("source", "target"),
            ("source_lengths", "target_segments"),
            self._store.rows(np.concatenate(members)),
            strict=True,
        ):
            ends = np.cumsum(counts)
            sums = np.concatenate([[0], np.cumsum(own.lengths)])
            joined = (sums[ends] - sums[ends - counts]).astype(np.int32)
            padded = partial(Rows.padded, width=self._width)
            found[side] = padded(Rows(own.ids, joined), pad=PAD)
            found[name] = padded(Rows(np.repeat(number, own.lengths), joined), pad=0)
        return found


def packed_rows(lengths: Int[np.ndarray, "n 2"], width: int) -> Numbers:
    """Returns the row of each pair: the first one with room on both sides, of those that are still open.

    Example:
      >>> packed_rows(np.array([[3, 2], [2, 4], [1, 2], [2, 1]]), 5).tolist()
      [0, 1, 0, 1]
    """
    room, number, rows = np.zeros((OPEN, 2), np.int64), np.full(OPEN, -1), np.empty(len(lengths), np.int64)
    opened = 0
    for pair, size in enumerate(lengths.tolist()):
        fits = np.flatnonzero((room >= size).all(axis=1) & (number >= 0))
        if len(fits):
            place = fits[np.argmin(number[fits])]
        else:
            # The row with the least room is closed.
            place = int(np.argmin(room.min(axis=1)))
            room[place], number[place] = width, opened
            opened += 1
        room[place] -= size
        rows[pair] = number[place]
    return rows
