"""Rankings without a model: by popularity, by the last item, by items that are taken together."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from attnjax.data.interactions.parts import Asked, LogParts
from attnjax.data.interactions.planted import PlantedLog
from attnjax.tasks.metrics.ranking import TargetPlaces, places_of

Scores = Callable[[list[np.ndarray]], Float[np.ndarray, "n I"]]
"""The scores of all items after histories."""
AT_ONCE = 2**25
"""Scores that are held at a time."""
MOST_PAIRS = 2**28
"""Pairs of events of one user, beyond which items that are taken together are not counted."""


def baselines(parts: LogParts, planted: PlantedLog | None) -> Mapping[str, Scores]:
    """Returns the rankings that fit a log by name; a generated one has the best possible too."""
    counts = parts.counts().astype(np.float32)
    found: dict[str, Scores] = {
        "popularity": lambda histories: np.broadcast_to(counts, (len(histories), len(counts))),
        "bigram": _bigram(parts, counts),
    }
    if pairs_of(parts) <= MOST_PAIRS:
        found["item-kNN"] = _neighbours(parts)
    if planted is not None:
        found["best possible"] = lambda histories: np.stack([planted.probabilities(x) for x in histories])
    return found


def pairs_of(parts: LogParts) -> int:
    """Returns the number of pairs of events of one user in training, which grows as item-kNN's time does."""
    lengths = (parts.ends - parts.log.starts[:-1]).astype(np.int64)
    return int((lengths**2).sum())


def baseline_places(
    scores: Scores, parts: LogParts, asked: Asked, targets: Int[np.ndarray, " n"], *, exclude_seen: bool
) -> TargetPlaces:
    """Returns the places of targets in a ranking, some users at a time."""
    found = []
    rows = max(1, AT_ONCE // parts.log.catalogue)
    for start in range(0, len(targets), rows):
        own = slice(start, start + rows)
        histories = list(whole_histories(parts, Asked(asked.users[own], asked.at[own])))
        excluded = histories if exclude_seen else [x[:0] for x in histories]
        found.append(places_of(scores(histories), targets[own], excluded))
    return TargetPlaces(*(np.concatenate(column) for column in zip(*found, strict=True)))


def whole_histories(parts: LogParts, asked: Asked) -> Iterator[Int[np.ndarray, " n"]]:
    """Yields all items before each event that is asked for."""
    log = parts.log
    for user, at in zip(asked.users, asked.at, strict=True):
        yield np.asarray(log.items[log.starts[user] : at])


def _bigram(parts: LogParts, counts: Float[np.ndarray, " I"]) -> Scores:
    """Returns how often training has an item right after the last one; popularity decides among equals."""
    items, users = parts.trained_items(), parts.trained_users()
    same = users[1:] == users[:-1]
    size = len(counts)
    pairs = scipy.sparse.csr_matrix(
        (np.ones(int(same.sum()), np.float32), (items[:-1][same], items[1:][same])), (size, size)
    )
    rest = counts / (counts.sum() + 1)
    return lambda histories: pairs[[x[-1] for x in histories]].toarray() + rest


def _neighbours(parts: LogParts) -> Scores:
    """Returns the sum, over the past items, of the cosine between the users of both.

    References:
      Sarwar et al., Item-based collaborative filtering recommendation algorithms, 2001.
    """
    items, users, size = parts.trained_items(), parts.trained_users(), parts.log.catalogue
    taken = scipy.sparse.csr_matrix((np.ones(len(items), np.float32), (users, items)))
    taken.resize(parts.log.users, size)
    taken.data[:] = 1  # A repeated event is one user of an item.
    lengths = np.sqrt(np.maximum(np.asarray(taken.sum(0)).ravel(), 1))
    taken = taken @ scipy.sparse.diags_array(1 / lengths)
    near = (taken.T @ taken).tocsr()
    near.setdiag(0)

    def scores(histories: list[np.ndarray]) -> np.ndarray:
        columns = [np.unique(x) for x in histories]
        rows = np.repeat(np.arange(len(columns)), [len(x) for x in columns])
        every = np.concatenate(columns)
        past = scipy.sparse.csr_matrix((np.ones(len(every), np.float32), (rows, every)), (len(columns), size))
        return (past @ near).toarray()

    return scores
