"""A generated log in which an item of long ago decides what comes next, and the best ranking of it."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from attnjax.data.interactions.config import PlantedLogData
from attnjax.data.interactions.log import InteractionLog

USERS = 20_000
"""Users that are generated together."""
DAY = 86_400.0
"""Seconds: the mean time from one event of a user to the next."""


class PlantedLog:
    """Groups whose sequels are due, groups that follow each other, and popularity.

    Half of the groups have a sequel in the other half. After an item of such a group its sequel is due from
    `gap` events later on, until an item of that comes. With probability `far`, if any is due, the next event
    is of the sequel of one of the items that wait for theirs, each as likely as the others. Otherwise it is
    of the group that follows the last item's with probability `near`, and else of any. Within a group, and
    among all, items are drawn by popularity. So the probability of each next item is known.

    Args:
      config: its sizes and probabilities.
      seed: decides which group follows which, and all events.

    Example:
      >>> planted = PlantedLog(PlantedLogData(users=3, items=10, groups=4, events=20), seed=0)
      >>> planted.log().items.shape
      (60,)
      >>> print(round(planted.probabilities(planted.log().of_user(0)[:-1]).sum(), 6))
      1.0
    """

    def __init__(self, config: PlantedLogData, seed: int) -> None:
        self.config, self._seed = config, seed
        rng = np.random.default_rng([seed, 22])
        count = config.items
        order = rng.permutation(count)
        weights = np.empty(count)
        weights[order] = np.arange(1, count + 1) ** -config.power
        self.popularity: Float[np.ndarray, " I"] = weights / weights.sum()
        self.group_of: Int[np.ndarray, " I"] = rng.permutation(count).astype(np.int32) % config.groups
        self.successors: Int[np.ndarray, " G"] = rng.permutation(config.groups).astype(np.int32)
        halves = rng.permutation(config.groups).astype(np.int32).reshape(2, -1)
        self.sequels: Int[np.ndarray, " G"] = np.full(config.groups, NONE, np.int32)
        self.sequels[halves[0]] = halves[1]
        shares = np.bincount(self.group_of, self.popularity)
        self.within: Float[np.ndarray, " I"] = self.popularity / shares[self.group_of]
        # The items, a group after the other, and where the popularity of each group begins and ends.
        self._sorted = np.argsort(self.group_of, kind="stable").astype(np.int32)
        self._cumulative = np.cumsum(self.popularity[self._sorted])
        last = np.cumsum(np.bincount(self.group_of, minlength=config.groups))
        self._edges = np.concatenate([[0.0], self._cumulative[last - 1]])

    def log(self) -> InteractionLog:
        """Returns the events of all users."""
        config = self.config
        items = np.concatenate(list(self._histories()))
        rng = np.random.default_rng([self._seed, 24])
        times = np.cumsum(rng.exponential(DAY, items.shape).round(), axis=1)
        names = [[str(i) for i in range(count)] for count in (config.users, config.items)]
        starts = np.arange(config.users + 1, dtype=np.int64) * config.events
        return InteractionLog(items.reshape(-1), times.reshape(-1), starts, *names)

    def due(self, history: Sequence[int] | np.ndarray) -> list[int]:
        """Returns the groups that are due after a history, as often as items wait for them."""
        groups = self.group_of[np.asarray(history)].tolist()
        last = {group: place for place, group in enumerate(groups)}
        found = []
        for place in range(max(len(groups) - self.config.gap + 1, 0)):
            sequel = int(self.sequels[groups[place]])
            if sequel != NONE and last.get(sequel, -1) < place:
                found.append(sequel)
        return found

    def probabilities(self, history: Sequence[int] | np.ndarray) -> Float[np.ndarray, " I"]:
        """Returns the probability of each item to come next after a history of one event or more."""
        due, config = self.due(history), self.config
        rest = 1 - config.far if due else 1.0
        of_group = np.bincount(due, minlength=config.groups) * config.far / max(len(due), 1)
        of_group[self.successors[self.group_of[history[-1]]]] += rest * config.near
        return rest * (1 - config.near) * self.popularity + of_group[self.group_of] * self.within

    def _drawn(
        self, low: float | Float[np.ndarray, " n"], high: float | Float[np.ndarray, " n"], draws: np.ndarray
    ) -> Int[np.ndarray, " n"]:
        """Returns items by popularity among those whose popularity lies between two edges."""
        place = np.searchsorted(self._cumulative, low + draws * (high - low), side="right")
        return self._sorted[np.minimum(place, len(self._sorted) - 1)]

    def _of_groups(self, groups: Int[np.ndarray, " n"], draws: np.ndarray) -> Int[np.ndarray, " n"]:
        return self._drawn(self._edges[groups], self._edges[groups + 1], draws)

    def _histories(self) -> Iterator[Int[np.ndarray, "n T"]]:
        """Yields the items of users, some at a time."""
        for number, start in enumerate(range(0, self.config.users, USERS)):
            count = min(USERS, self.config.users - start)
            yield self._of_users(count, np.random.default_rng([self._seed, 23, number]))

    def _of_users(self, count: int, rng: np.random.Generator) -> Int[np.ndarray, "n T"]:
        config, rows = self.config, np.arange(count)
        items = np.empty((count, config.events), np.int32)
        awaited = np.full((count, config.events), NONE, np.int32)
        for t in range(config.events):
            draws = rng.random(count)
            drawn = self._drawn(0.0, self._edges[-1], draws)
            if t:
                group = self.successors[self.group_of[items[:, t - 1]]]
                drawn = np.where(rng.random(count) < config.near, self._of_groups(group, draws), drawn)
            if t >= config.gap:
                open_places = awaited[:, : t - config.gap + 1]
                waits = open_places != NONE
                chosen = np.where(waits, rng.random(open_places.shape), -1).argmax(1)
                takes = waits.any(1) & (rng.random(count) < config.far)
                group = np.maximum(open_places[rows, chosen], 0)
                drawn = np.where(takes, self._of_groups(group, draws), drawn)
            items[:, t] = drawn
            groups = self.group_of[drawn]
            awaited[:, :t][awaited[:, :t] == groups[:, None]] = NONE
            awaited[:, t] = self.sequels[groups]
        return items


NONE = -1
"""Stands for the sequel of a group that has none."""
