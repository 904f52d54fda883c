"""From the events of a file to a log, and an account of what was left out."""

import hashlib
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from attnjax.config import require, user_cache
from attnjax.data.interactions.config import InteractionData
from attnjax.data.interactions.files import Events, read_events
from attnjax.data.interactions.log import InteractionLog
from attnjax.data.interactions.planted import PlantedLog

WORTH_KEEPING = 1_000_000
"""Events. A generated log with fewer is made as fast as it is read."""

MOST = 4
"""Generated logs that are kept, the latest. One of 10 million events takes 140 MB."""


@dataclass(frozen=True)
class LogReport:
    """The numbers of what a log had, and of what was left out.

    Attributes:
      events, users, items: of the log as it is used.
      duplicates: events that were there before: the same user, item and time.
      repeats: events whose user had taken the item at another time; they stay.
      ties: events with the time of the one before them of their user; they stay in the order of the file.
      unordered: events that stood in the file after a later one of their user.
      light: events below `data.min_weight`.
      few_users, few_items: users and items with too few events, and `few_events` those events.
      lost_users, lost_items: those of the file that the log has not, and how many events they had.
    """

    events: int
    users: int
    items: int
    duplicates: int = 0
    repeats: int = 0
    ties: int = 0
    unordered: int = 0
    light: int = 0
    few_users: int = 0
    few_items: int = 0
    few_events: int = 0
    lost_users: Mapping[str, int] = field(default_factory=dict)
    lost_items: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Returns the account for people."""
        found = [f"{self.events} events of {self.users} users and {self.items} items"]
        told = {
            "duplicates": "left out: the same user, item and time came before",
            "light": "left out: they weigh less than data.min_weight",
            "few_events": f"left out: {self.few_users} users have fewer than data.user_events events, "
            f"{self.few_items} items fewer than data.item_events",
            "repeats": "of an item that its user had taken before; they stay",
            "ties": "at the time of the one before them of their user: their order is that of the file, and "
            "means nothing",
            "unordered": "stood after a later one of their user; the log is sorted by time",
        }
        return found + [
            f"{number} events {text}" for name, text in told.items() if (number := getattr(self, name))
        ]


def read_log(data: InteractionData) -> tuple[InteractionLog, LogReport]:
    """Returns the log that the settings name, and what was left out of it.

    A large generated log is kept in the user's cache, from which its arrays are mapped into memory.

    Raises:
      InputError: a file is not good, or there is too little in it.
    """
    if data.log is not None:
        log, report = prepared(read_events(data.log), data)
        return log, report
    planted = data.planted
    made = PlantedLog(planted, data.seed)
    if planted.users * planted.events < WORTH_KEEPING:
        log = made.log()
    else:
        code = hashlib.sha256(repr((planted, data.seed)).encode())
        code.update(b"".join(Path(__file__).with_name(f"{n}.py").read_bytes() for n in ("planted", "log")))
        folder = user_cache() / "interactions" / code.hexdigest()[:32]
        with suppress(OSError, ValueError, KeyError):
            log = InteractionLog.load(folder)
            return log, LogReport(len(log.items), log.users, log.catalogue)
        made.log().save(folder)
        for old in sorted(folder.parent.iterdir(), key=lambda place: place.stat().st_mtime)[:-MOST]:
            shutil.rmtree(old, ignore_errors=True)
        log = InteractionLog.load(folder)
    return log, LogReport(len(log.items), log.users, log.catalogue)


def prepared(events: Events, data: InteractionData) -> tuple[InteractionLog, LogReport]:
    """Returns the log of events, sorted, without duplicates and without what has too few events.

    Users and items are left out until each has enough: an item may fall below the least number by the users
    that are left out.

    Raises:
      InputError: nothing is left, or one user alone.
    """
    total = len(events.users)
    keep = np.arange(total)
    if data.min_weight is not None:
        keep = keep[events.weights >= data.min_weight]
    light = total - len(keep)
    columns = [column[keep] for column in (events.times, events.items, events.users)]
    order = np.lexsort(columns)  # It is stable: of equal events the first in the file comes first.
    again = np.logical_and.reduce([column[order][1:] == column[order][:-1] for column in columns])
    duplicates = int(again.sum())
    keep = np.delete(keep, order[1:][again])
    kept, few = _with_enough(events, keep, data)
    require(len(kept) > 0, f"no event is left of {total}: lower data.user_events ({data.user_events})")
    users, items, times = events.users[kept], events.items[kept], events.times[kept]
    by_user = np.argsort(users, kind="stable")
    falls = np.diff(times[by_user]) < 0
    unordered = int((falls & (np.diff(users[by_user]) == 0)).sum())
    order = np.lexsort((times, users))  # It is stable: events of one time stay as they are.
    users, items, times = users[order], items[order], times[order]
    same = np.diff(users) == 0
    known_users, users = np.unique(users, return_inverse=True)
    known_items, items = np.unique(items, return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(np.bincount(users))])
    pairs = users.astype(np.int64) * len(known_items) + items
    log = InteractionLog(
        items.astype(np.int32),
        times.astype(np.float64),
        starts.astype(np.int64),
        [events.user_names[i] for i in known_users],
        [events.item_names[i] for i in known_items],
    )
    report = LogReport(
        events=len(kept),
        users=log.users,
        items=log.catalogue,
        duplicates=duplicates,
        repeats=len(pairs) - len(np.unique(pairs)),
        ties=int((same & (np.diff(times) == 0)).sum()),
        unordered=unordered,
        light=light,
        lost_users=_lost(events.users, events.user_names, kept),
        lost_items=_lost(events.items, events.item_names, kept),
    )
    few_events = len(keep) - len(kept)
    return log, replace(report, few_users=few["few_users"], few_items=few["few_items"], few_events=few_events)


def _with_enough(
    events: Events, keep: np.ndarray, data: InteractionData
) -> tuple[np.ndarray, dict[str, int]]:
    """Returns the events of users and items with enough of them, and how many have not."""
    few = {"few_users": 0, "few_items": 0}
    before = {name: len(np.unique(column[keep])) for name, column in _both(events)}
    while True:
        count = len(keep)
        for least, (_, column) in zip((data.user_events, data.item_events), _both(events), strict=True):
            numbers = np.bincount(column[keep], minlength=1)
            keep = keep[numbers[column[keep]] >= least]
        if len(keep) == count:
            break
    for name, column in _both(events):
        few[f"few_{name}"] = before[name] - len(np.unique(column[keep]))
    return keep, few


def _lost(column: np.ndarray, names: list[str], kept: np.ndarray) -> dict[str, int]:
    """Returns how many events the names had of which none is kept."""
    counts = np.bincount(column, minlength=len(names))
    counts[column[kept]] = 0
    return {names[i]: int(counts[i]) for i in np.flatnonzero(counts)}


def _both(events: Events) -> list[tuple[str, np.ndarray]]:
    return [("users", events.users), ("items", events.items)]
