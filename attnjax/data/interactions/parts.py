"""The parts of a log: what is trained on, and the events that are asked for."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from attnjax.config import require
from attnjax.data.interactions.config import InteractionData
from attnjax.data.interactions.log import InteractionLog


class Asked(NamedTuple):
    """Events that are asked for: `at` are their places in the log, and their users had others before."""

    users: Int[np.ndarray, " n"]
    at: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class LogParts:
    """The cut of a log.

    Attributes:
      log: the log.
      ends: of each user, the place after the last event of training.
      validation: the events that choose the best checkpoint.
      test: those of the final table.
      cold_users: users with an event to ask for, but none before it.
    """

    log: InteractionLog
    ends: Int[np.ndarray, " U"]
    validation: Asked
    test: Asked
    cold_users: int = 0

    def counts(self) -> Int[np.ndarray, " I"]:
        """Returns how often training has each item."""
        return np.bincount(self.trained_items(), minlength=self.log.catalogue)

    def trained_items(self) -> Int[np.ndarray, " n"]:
        """Returns the items of all events of training, one user's after another's."""
        place = np.arange(len(self.log.items))
        lengths = np.diff(self.log.starts)
        return np.asarray(self.log.items)[place < np.repeat(self.ends, lengths)]

    def trained_users(self) -> Int[np.ndarray, " n"]:
        """Returns the user of each of `trained_items`."""
        return np.repeat(np.arange(self.log.users), self.ends - self.log.starts[:-1])


def cut(log: InteractionLog, data: InteractionData) -> LogParts:
    """Returns the parts of a log.

    With leave_one_out the last event of each user is the test and the one before it validation, and training
    has the rest; users with fewer than 3 events are trained on alone. With time two moments cut the log:
    training ends at the first; validation asks for each user's first event after it and before the second,
    the test for the first after the second. All that lies before an event may be read to tell it.

    Raises:
      InputError: a part has no event.
    """
    starts, ends = log.starts[:-1], log.starts[1:]
    users = np.arange(log.users)
    if data.split == "leave_one_out":
        enough = ends - starts >= 3
        parts = LogParts(
            log,
            np.where(enough, ends - 2, ends),
            Asked(users[enough], ends[enough] - 2),
            Asked(users[enough], ends[enough] - 1),
        )
    else:
        first, second = np.quantile(log.times, [1 - 2 * data.holdout, 1 - data.holdout])
        owner = np.repeat(users, ends - starts)
        edges = [
            starts + np.bincount(owner[log.times < moment], minlength=log.users) for moment in (first, second)
        ]
        there = [(edges[0] < edges[1]), (edges[1] < ends)]
        warm = [present & (edge > starts) for present, edge in zip(there, edges, strict=True)]
        validation, test = (Asked(users[own], edge[own]) for own, edge in zip(warm, edges, strict=True))
        parts = LogParts(log, edges[0], validation, test, int((there[1] & ~warm[1]).sum()))
    for name, part in (("validation", parts.validation), ("test", parts.test)):
        require(len(part.users) > 0, f"the {name} part has no event: expected users with 3 events or more")
    require(
        bool((parts.ends - starts >= 2).any()), "training has no user with 2 events: expected a longer log"
    )
    return parts


class Histories(NamedTuple):
    """Past events: items and times [n, T], of which each row has as many as `lengths` says, then zeros."""

    items: Int[np.ndarray, "n T"]
    times: Int[np.ndarray, "n T"]
    lengths: Int[np.ndarray, " n"]


def before(log: InteractionLog, users: np.ndarray, at: np.ndarray, length: int) -> Histories:
    """Returns the last `length` events of users before the places `at`; times count from the first of them.

    Example:
      >>> items, starts = np.arange(5), np.array([0, 2, 5])
      >>> log = InteractionLog(items, items * 7.0, starts, ["ann", "bob"], list("vwxyz"))
      >>> before(log, np.array([0, 1]), np.array([1, 5]), 2)
      Histories(items=array([[0, 0], [3, 4]], dtype=int32), times=array([[0, 0], [0, 7]], dtype=int32),
      lengths=array([1, 2], dtype=int32))
    """
    starts = np.maximum(log.starts[users], at - length)
    lengths = (at - starts).astype(np.int32)
    inside = np.arange(length) < lengths[:, None]
    place = np.where(inside, starts[:, None] + np.arange(length), starts[:, None])
    place = np.minimum(place, len(log.items) - 1)
    times = log.times[place] - log.times[np.minimum(starts, len(log.items) - 1)][:, None]
    latest = np.iinfo(np.int32).max
    return Histories(
        np.where(inside, log.items[place], 0).astype(np.int32),
        np.where(inside, np.minimum(times, latest), 0).astype(np.int32),
        lengths,
    )
