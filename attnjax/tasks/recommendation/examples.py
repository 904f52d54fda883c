"""Histories as a model takes them: for training, and for the events that are asked for."""

import numpy as np
from jaxtyping import Int

from attnjax.data.hosts import all_rows, host_share
from attnjax.data.interactions.config import InteractionData
from attnjax.data.interactions.parts import Asked, Histories, LogParts, before
from attnjax.data.pipeline import Batches
from attnjax.data.synthetic.questions import Split, stream
from attnjax.tasks.base import Arrays
from attnjax.tasks.recommendation.config import ItemLossConfig

NONE = -1
"""Stands in "targets" where nothing is asked, and in "seen" for no item."""
LAST_ALONE = 0.1
"""Share of histories of which the last event alone is masked, as it is when the next one is asked for."""


class Examples:
    """Makes "items", "targets", "lengths", "times" and "negatives" of histories.

    For a causal model the target of an event is the next one; for others events are masked, and each is the
    target of its own place.

    Args:
      parts: of the log.
      data: the log's settings.
      loss: the loss's settings.
      causal: whether each event sees those before it alone.
      batch_size: of all hosts together.
      last_target_alone: whether a model learns from the last event of a window alone. Then windows end at any
        event but the first of a user, however few stand before it; else they are as long as they can be.
    """

    def __init__(
        self,
        parts: LogParts,
        data: InteractionData,
        loss: ItemLossConfig,
        *,
        causal: bool,
        batch_size: int,
        last_target_alone: bool = False,
    ) -> None:
        self.parts, self._data, self._loss, self.causal = parts, data, loss, causal
        self._least_events = 2 if last_target_alone else None
        self.mask = parts.log.catalogue
        enough = np.flatnonzero(parts.ends - parts.log.starts[:-1] >= 2)
        self._order = Batches({"user": enough, "row": np.arange(len(enough))}, batch_size, data.seed)

    def batch(self, step: int) -> Arrays:
        """Returns windows of the histories of users, who come in a new order each epoch."""
        users, log, length = self._order[step]["user"], self.parts.log, self._data.length
        rng = stream(self._data.seed, Split.TRAIN, step)
        most = length + 1 if self.causal else length
        ends, starts = self.parts.ends[users], log.starts[users]
        earlier = np.maximum(ends - starts - (self._least_events or most), 0)
        ends = ends - np.floor(host_share(rng.random(all_rows(len(users)))) * (earlier + 1)).astype(np.int64)
        found = before(log, users, ends, most)
        if self.causal:
            arrays = _shifted(found)
        else:
            arrays = self._masked(found, rng)
        negatives = self._negatives(all_rows(len(users)), rng)
        return arrays | {name: host_share(array) for name, array in negatives.items()}

    def asked(self, asked: Asked, part: Split) -> Arrays:
        """Returns the histories before events that are asked for, each with one target, the event itself.

        "seen" holds all earlier items of the user, also those that the history no longer reaches.
        """
        log, length = self.parts.log, self._data.length
        read = length if self.causal else length - 1
        found = before(log, asked.users, asked.at, read)
        arrays = self.questions(found.items, found.times, found.lengths)
        targets = np.full(arrays["items"].shape, NONE, np.int32)
        targets[np.arange(len(targets)), arrays["lengths"] - 1] = log.items[asked.at]
        arrays |= {"targets": targets, "target": np.asarray(log.items[asked.at], np.int32)}
        arrays |= self._negatives(len(targets), stream(self._data.seed, part))
        if self._data.exclude_seen:
            lengths = asked.at - log.starts[asked.users]
            seen = np.full((len(lengths), int(lengths.max())), NONE, np.int32)
            for row, user, at in zip(seen, asked.users, asked.at, strict=True):
                own = np.unique(log.items[log.starts[user] : at])
                row[: len(own)] = own
            arrays["seen"] = seen
        return arrays

    def questions(self, items: np.ndarray, times: np.ndarray, lengths: np.ndarray) -> Arrays:
        """Returns histories whose last event asks for the next one: itself, or a mask after it."""
        if self.causal:
            return {"items": items, "times": times, "lengths": lengths}
        rows = np.arange(len(items))
        items, times = (np.pad(x, ((0, 0), (0, 1))) for x in (items, times))
        items[rows, lengths] = self.mask
        times[rows, lengths] = times[rows, np.maximum(lengths - 1, 0)]
        return {"items": items, "times": times, "lengths": lengths + 1}

    def _masked(self, found: Histories, rng: np.random.Generator) -> Arrays:
        items, times, lengths = found
        place = np.arange(items.shape[1])
        last = place == lengths[:, None] - 1
        count = all_rows(len(items))
        drawn = host_share(rng.random((count, items.shape[1])))
        chosen = (drawn < self._loss.masked) & (place < lengths[:, None])
        alone = (host_share(rng.random(count)) < LAST_ALONE) | ~chosen.any(1)
        chosen = np.where(alone[:, None], last, chosen)
        return {
            "items": np.where(chosen, self.mask, items).astype(np.int32),
            "targets": np.where(chosen, items, NONE).astype(np.int32),
            "times": times,
            "lengths": lengths,
        }

    def _negatives(self, rows: int, rng: np.random.Generator) -> dict[str, Int[np.ndarray, "n K"]]:
        if self._loss.kind == "full":
            return {}
        drawn = rng.integers(0, self.parts.log.catalogue, (rows, self._loss.negatives))
        return {"negatives": drawn.astype(np.int32)}


def _shifted(found: Histories) -> Arrays:
    items, times, lengths = found
    lengths = lengths - 1
    there = np.arange(items.shape[1] - 1) < lengths[:, None]
    return {
        "items": np.where(there, items[:, :-1], 0).astype(np.int32),
        "targets": np.where(there, items[:, 1:], NONE).astype(np.int32),
        "times": times[:, :-1],
        "lengths": lengths,
    }
