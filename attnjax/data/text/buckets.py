"""Batches of texts of like lengths, in few shapes, as a pure function of (seed, step)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int

from attnjax.data.hosts import host_rows
from attnjax.data.text.encoder import Arrays
from attnjax.data.text.rows import Rows
from attnjax.data.text.tokenizer import PAD

MULTIPLE = 4
"""Of the widths of arrays."""
ROWS_MULTIPLE = 8
"""Of the rows of a batch that tokens are counted for, so that hosts, devices and micro-batches share it."""

Numbers = Int[np.ndarray, " n"]


class TokenStore(Protocol):
    """The ids of all training pairs, wherever they lie.

    Attributes:
      source_lengths: [n].
      target_lengths: [n], with both marks.
      corpora: [n], the number of each pair's corpus.
    """

    source_lengths: Numbers
    target_lengths: Numbers
    corpora: Numbers

    def rows(self, numbers: Numbers) -> tuple[Rows, Rows]:
        """Returns the sources, and the targets with their marks, of pairs."""


@dataclass(frozen=True)
class Bucket:
    """Texts that share a shape of batches.

    Attributes:
      members: for each corpus, the numbers of its pairs here.
      widths: of the arrays of sources and of targets.
      rows: of a batch, over all hosts.
      groups: of batches in a round.
      quotas: for each corpus, its pairs among those that a round draws here.
    """

    members: tuple[Numbers, ...]
    widths: tuple[int, int]
    rows: int
    groups: int
    quotas: tuple[int, ...]


class BucketedBatches:
    """Batches of one shape for each bucket, whose pairs are drawn by the weights of their corpora.

    Steps come in groups of `chunk`, which share a bucket: so many are dispatched as one program. A round has
    for each bucket as many groups as its share of the pairs says; their order is drawn anew in each. A corpus
    gives its pairs of a bucket in a random order, all of them before any comes again.

    Args:
      store: the pairs.
      seed: of all that is drawn.
      count: of the buckets, at most.
      batch_size: pairs of a batch, where tokens are not counted.
      batch_tokens: tokens of a batch on both sides, padding included; None: they are not counted.
      weights: of the corpora, how likely a pair is of each; None: by their sizes.
      chunk: steps of a group.
      room: by which arrays are wider than texts.
      most: widths that no array is beyond.
    """

    def __init__(
        self,
        store: TokenStore,
        *,
        seed: int,
        count: int,
        batch_size: int,
        batch_tokens: int | None,
        weights: Sequence[float] | None = None,
        chunk: int = 1,
        room: float = 1.0,
        most: tuple[int, int],
    ) -> None:
        self._store, self._seed, self._chunk = store, seed, chunk
        self.buckets = _buckets(store, count, batch_size, batch_tokens, weights, chunk, room, most)
        self._groups = sum(bucket.groups for bucket in self.buckets)
        for bucket in self.buckets:
            host_rows(bucket.rows)  # Hosts that cannot share one say so before the first step.
        few = 2 * sum(len(bucket.members) for bucket in self.buckets)
        self._plan = lru_cache(2)(self._planned)
        self._permutation = lru_cache(few)(self._permuted)
        self._places = lru_cache(2 * len(self.buckets))(self._placed)

    @property
    def row_counts(self) -> set[int]:
        """The numbers of rows that batches have, of all hosts together."""
        return {bucket.rows for bucket in self.buckets}

    def __getitem__(self, step: int) -> Arrays:
        group, within = divmod(step, self._chunk)
        round_, index = divmod(group, self._groups)
        of_group, before = self._plan(round_)
        number = int(of_group[index])
        bucket = self.buckets[number]
        first = (int(before[index]) * self._chunk + within) * bucket.rows
        chosen = host_rows(bucket.rows)
        sources, targets = self._store.rows(
            self._numbers(number, round_, np.arange(first + chosen.start, first + chosen.stop))
        )
        source_width, target_width = bucket.widths
        return {
            "source": sources.padded(source_width, PAD),
            "source_lengths": sources.lengths,
            "target": targets.padded(target_width, PAD),
        }

    def _planned(self, round_: int) -> tuple[Numbers, Numbers]:
        """Returns the bucket of each group of a round, and how many of its groups come before."""
        each = np.repeat(np.arange(len(self.buckets)), [bucket.groups for bucket in self.buckets])
        order = self._rng(0, round_).permutation(each)
        before = np.zeros_like(order)
        for number in range(len(self.buckets)):
            own = order == number
            before[own] = np.arange(own.sum())
        return order, before

    def _numbers(self, number: int, round_: int, places: Numbers) -> Numbers:
        """Returns the pairs that a bucket gives at these places of a round."""
        bucket = self.buckets[number]
        corpora, ranks = self._places(number, round_)
        found = np.empty(len(places), np.int64)
        for corpus, (members, quota) in enumerate(zip(bucket.members, bucket.quotas, strict=True)):
            own = corpora[places] == corpus
            epochs, at = np.divmod(round_ * quota + ranks[places[own]].astype(np.int64), max(1, len(members)))
            taken = np.empty(len(at), np.int64)
            for epoch in np.unique(epochs).tolist():
                of_epoch = epochs == epoch
                taken[of_epoch] = members[self._permutation(number, corpus, epoch)[at[of_epoch]]]
            found[own] = taken
        return found

    def _placed(self, number: int, round_: int) -> tuple[Numbers, Numbers]:
        """Returns the corpus of each place of a bucket's round, and how many of its places come before."""
        quotas = self.buckets[number].quotas
        corpora = self._rng(1, number, round_).permutation(
            np.repeat(np.arange(len(quotas), dtype=np.int16), quotas)
        )
        ranks = np.empty(len(corpora), np.int32)
        for corpus in range(len(quotas)):
            own = corpora == corpus
            ranks[own] = np.arange(own.sum(), dtype=np.int32)
        return corpora, ranks

    def _permuted(self, number: int, corpus: int, epoch: int) -> Numbers:
        count = len(self.buckets[number].members[corpus])
        return self._rng(2, number, corpus, epoch).permutation(np.arange(count, dtype=np.int32))

    def _rng(self, *words: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *words])


def rows_of_tokens(tokens: int, width: int) -> int:
    """Returns the rows of a batch of at most so many tokens: a multiple of 8, or below that a power of two.

    >>> [rows_of_tokens(tokens, 10) for tokens in (5, 39, 79, 170)]
    [1, 2, 4, 16]
    """
    rows = max(1, tokens // width)
    return rows - rows % min(ROWS_MULTIPLE, 1 << (rows.bit_length() - 1))


def _buckets(
    store: TokenStore,
    count: int,
    batch_size: int,
    batch_tokens: int | None,
    weights: Sequence[float] | None,
    chunk: int,
    room: float,
    most: tuple[int, int],
) -> list[Bucket]:
    sources, targets, corpora = store.source_lengths, store.target_lengths, store.corpora
    longest = np.maximum(sources, targets)
    edges = np.unique(np.quantile(longest, np.arange(1, count + 1) / count, method="higher"))
    of_pair = np.searchsorted(edges, longest).astype(np.int16)
    sizes = np.bincount(corpora)
    shares = sizes / sizes.sum() if weights is None else np.array(weights) / np.sum(weights)
    found: list[Any] = []
    for number in range(len(edges)):
        inside = of_pair == number
        members = tuple(np.flatnonzero(inside & (corpora == c)).astype(np.int32) for c in range(len(sizes)))
        longest_here = sources[inside].max(), targets[inside].max()
        widths = tuple(
            min(-(-int(np.ceil(room * size)) // MULTIPLE) * MULTIPLE, limit)
            for size, limit in zip(longest_here, most, strict=True)
        )
        rows = batch_size
        if batch_tokens is not None:
            rows = rows_of_tokens(batch_tokens, sum(widths))
        mass = shares * [len(own) / size for own, size in zip(members, sizes, strict=True)]
        found.append((members, widths, rows, mass))
    # A round is so long that each bucket has a group, and reads the corpora about once if that is longer.
    wanted = [mass.sum() * sizes.sum() / (chunk * rows) for *_, rows, mass in found]
    scale = max(1.0, 1 / min(wanted))
    buckets = []
    for (members, widths, rows, mass), own in zip(found, wanted, strict=True):
        groups = max(1, round(scale * own))
        drawn = groups * chunk * rows
        quotas = np.floor(drawn * mass / mass.sum()).astype(int)
        quotas[np.argsort(quotas - drawn * mass / mass.sum(), kind="stable")[: drawn - quotas.sum()]] += 1
        buckets.append(Bucket(members, widths, rows, groups, tuple(quotas.tolist())))
    return buckets
