"""Lists of token ids of many texts, as two arrays: what a corpus needs is then done for all texts at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Rows(NamedTuple):
    """Lists of token ids: those of all lists, one list after another, and the length of each.

    >>> rows = Rows.of([[5, 6, 7], [], [8]])
    >>> rows.lists()
    [[5, 6, 7], [], [8]]
    >>> rows.chosen(np.array([2, 0])).between(1, 2).lists()
    [[1, 8, 2], [1, 5, 6, 7, 2]]
    >>> rows.padded(4, 0)
    array([[5, 6, 7, 0], [0, 0, 0, 0], [8, 0, 0, 0]], dtype=int32)
    """

    ids: Int[np.ndarray, " total"]
    lengths: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> "Rows":
        """Returns the rows that are these lists."""
        lengths = np.array([len(row) for row in lists], np.int32)
        ids = np.fromiter((i for row in lists for i in row), np.int32, int(lengths.sum()))
        return cls(ids, lengths)

    def lists(self) -> list[list[int]]:
        """Returns the rows as lists."""
        ids, ends = self.ids.tolist(), np.cumsum(self.lengths).tolist()
        return [ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def chosen(self, indices: Int[np.ndarray, " m"]) -> "Rows":
        """Returns the rows of these numbers, in this order."""
        lengths = self.lengths[indices]
        ends = np.cumsum(lengths)
        began = (np.cumsum(self.lengths) - self.lengths)[indices]
        places = np.repeat(began - (ends - lengths), lengths) + np.arange(lengths.sum())
        return Rows(self.ids[places], lengths)

    def between(self, first: int, last: int) -> "Rows":
        """Returns each row with a token before it and one after it."""
        lengths = self.lengths + 2
        ends = np.cumsum(lengths)
        ids = np.empty(int(lengths.sum()), self.ids.dtype)
        inside = np.ones(len(ids), bool)
        inside[ends - lengths] = inside[ends - 1] = False
        ids[ends - lengths], ids[ends - 1], ids[inside] = first, last, self.ids
        return Rows(ids, lengths)

    def padded(self, width: int, pad: int) -> Int[np.ndarray, "n width"]:
        """Returns the rows as an int32 array, with `pad` behind those that are shorter."""
        array = np.full((len(self.lengths), width), pad, np.int32)
        array[np.arange(width) < self.lengths[:, None]] = self.ids
        return array
