"""A generated log in which an item of long ago decides what comes next, and the best ranking of it."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from attnjax.data.interactions.config import PlantedLogData
from attnjax.data.interactions.log import InteractionLog

USERS = 20_000
"""Users that are generated together."""
DAY = 86_400.0
"""Seconds: the mean time from one event of a user to the next."""


class PlantedLog:
    """Sequels that are due, successors of the last item, and popularity.

    Half of the items have a sequel in the other half. It is due from `gap` events after its item on, until it
    comes. With probability `far`, if any is due, the next event is the sequel of one of the events that wait
    for theirs, each as likely as the others. Otherwise it is the successor of the last item with probability
    `near`, and else an item by its popularity. So the probability of each next item is known.

    Args:
      config: its sizes and probabilities.
      seed: decides which item follows which, and all events.

    Example:
      >>> planted = PlantedLog(PlantedLogData(users=3, items=10, events=20), seed=0)
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
        self.successors: Int[np.ndarray, " I"] = rng.permutation(count).astype(np.int32)
        halves = rng.permutation(count).astype(np.int32).reshape(2, -1)
        self.sequels: Int[np.ndarray, " I"] = np.full(count, NONE, np.int32)
        self.sequels[halves[0]] = halves[1]

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
        """Returns the sequels that are due after a history, as often as events wait for them."""
        last: dict[int, int] = {}
        for place, item in enumerate(history):
            last[int(item)] = place
        waiting = len(history) - self.config.gap
        found = []
        for place in range(max(waiting + 1, 0)):
            sequel = int(self.sequels[history[place]])
            if sequel != NONE and last.get(sequel, -1) < place:
                found.append(sequel)
        return found

    def probabilities(self, history: Sequence[int] | np.ndarray) -> Float[np.ndarray, " I"]:
        """Returns the probability of each item to come next after a history of one event or more."""
        due, config = self.due(history), self.config
        rest = 1 - config.far if due else 1.0
        found = rest * (1 - config.near) * self.popularity
        found[self.successors[history[-1]]] += rest * config.near
        for sequel in due:
            found[sequel] += config.far / len(due)
        return found

    @cached_property
    def _cumulative(self) -> Float[np.ndarray, " I"]:
        total = np.cumsum(self.popularity)
        return total / total[-1]

    def _histories(self) -> Iterator[Int[np.ndarray, "n T"]]:
        """Yields the items of users, some at a time."""
        for number, start in enumerate(range(0, self.config.users, USERS)):
            count = min(USERS, self.config.users - start)
            yield self._of_users(count, np.random.default_rng([self._seed, 23, number]))

    def _of_users(self, count: int, rng: np.random.Generator) -> Int[np.ndarray, "n T"]:
        config = self.config
        items = np.empty((count, config.events), np.int32)
        awaited = np.full((count, config.events), NONE, np.int32)
        for t in range(config.events):
            drawn = np.searchsorted(self._cumulative, rng.random(count), side="right").astype(np.int32)
            if t:
                follows = rng.random(count) < config.near
                drawn = np.where(follows, self.successors[items[:, t - 1]], drawn)
            if t >= config.gap:
                open_places = awaited[:, : t - config.gap + 1]
                waits = open_places != NONE
                chosen = np.where(waits, rng.random(open_places.shape), -1).argmax(1)
                takes = waits.any(1) & (rng.random(count) < config.far)
                drawn = np.where(takes, open_places[np.arange(count), chosen], drawn)
            items[:, t] = drawn
            awaited[:, :t][awaited[:, :t] == drawn[:, None]] = NONE
            awaited[:, t] = self.sequels[drawn]
        return items


NONE = -1
"""Stands for the sequel of an item that has none."""
