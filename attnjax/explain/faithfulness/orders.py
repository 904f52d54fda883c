"""Orders of tokens: those of scores, random ones, and the best and worst that a model has."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from attnjax.explain.faithfulness.removal import Removal, removed_values
from attnjax.explain.question import Question

Ranks = Int[np.ndarray, "*M B T"]


def ranks_of(scores: Float[np.ndarray, "B T"], counted: Bool[np.ndarray, "B T"], seed: int = 0) -> Ranks:
    """Returns the rank of each token by its score, 0 for the highest; T where none is counted.

    Equal scores are in random order: a map of one value is a random order, not that of the text.

    Example:
      >>> ranks_of(np.array([[0.1, 0.7, 9.0]]), np.array([[True, True, False]])).tolist()
      [[1, 0, 3]]
    """
    ties = np.random.default_rng(seed).random(scores.shape)
    order = np.lexsort((ties, -np.asarray(scores, np.float64), ~counted), axis=-1)
    return np.where(counted, np.argsort(order, axis=-1), scores.shape[-1])


def random_ranks(count: int, counted: Bool[np.ndarray, "B T"], seed: int) -> Ranks:
    """Returns so many random orders [M, B, T]."""
    scores = np.random.default_rng(seed).random((count, *counted.shape))
    return np.stack([ranks_of(row, counted) for row in scores])


def curves(
    question: Question,
    ranks: Ranks,
    removal: Removal = "replace",
    baseline: Any = None,
    at_once: int = 32,
) -> tuple[Float[np.ndarray, "M B K"], Float[np.ndarray, "M B K"]]:
    """Returns the number without the k first tokens of each order, and with only these, for k = 0 … T.

    It is one program for all orders. A k beyond the tokens of an input is as all of them.

    Args:
      question: from `ask`.
      ranks: [M, B, T], as `ranks_of` gives them.
      removal: "replace" or "delete".
      baseline: of removed tokens.
      at_once: versions of the batch that the model reads together.
    """
    orders, batch, tokens = ranks.shape
    first = ranks < np.arange(tokens + 1)[:, None, None, None]
    kept = np.stack([~first, first | (ranks == tokens)])
    values = removed_values(
        question, jnp.asarray(kept.reshape(-1, batch, tokens)), removal, baseline, at_once
    )
    both = np.moveaxis(np.asarray(values, np.float64).reshape(2, tokens + 1, orders, batch), 1, -1)
    return both[0], both[1]


def extreme_ranks(
    question: Question,
    counted: Bool[np.ndarray, "B T"],
    removal: Removal = "replace",
    baseline: Any = None,
    *,
    exact: int = 10,
    beam: int = 5,
    at_once: int = 32,
) -> Ranks:
    """Returns the orders of the highest and of the lowest AOPC, [2, B, T].

    They are exact where no input has more than `exact` tokens, by all their subsets, each of which is asked
    once; otherwise those of a beam search of width `beam`.

    Reference:
      Edin et al., Normalized AOPC: Fixing Misleading Faithfulness Metrics for Feature Attribution
      Explainability, 2024, arXiv:2408.08137.
    """
    if counted.sum(1).max() <= exact:
        return _by_subsets(question, counted, removal, baseline, at_once)
    found = [
        _by_beam(question, jnp.asarray(counted), baseline, jnp.float32(sign), removal, beam, at_once)
        for sign in (1, -1)
    ]
    return np.asarray(found)


def _by_subsets(
    question: Question, counted: Bool[np.ndarray, "B T"], removal: Removal, baseline: Any, at_once: int
) -> Ranks:
    counts, tokens = counted.sum(1), counted.shape[1]
    most = int(counts.max())
    removed = (np.arange(2**most)[:, None] >> np.arange(most)) & 1 == 1
    # Bit i of a subset is the i-th counted token of an input.
    number = np.where(counted, np.cumsum(counted, axis=1) - 1, most)
    gone = np.concatenate([removed, np.zeros((len(removed), 1), bool)], axis=1)[:, number]
    values = np.asarray(removed_values(question, jnp.asarray(~gone), removal, baseline, at_once), np.float64)
    found = [
        [best_chain(-sign * values[: 2**count, row]) for row, count in enumerate(counts)] for sign in (1, -1)
    ]
    ranks = np.full((2, *counted.shape), tokens)
    for side, orders in enumerate(found):
        for row, order in enumerate(orders):
            ranks[side, row, np.flatnonzero(counted[row])[order]] = np.arange(len(order))
    return ranks


def best_chain(gains: Float[np.ndarray, " S"]) -> list[int]:
    """Returns the order of n elements whose growing subsets have the largest sum of gains, exactly.

    Args:
      gains: of each of the 2^n subsets, whose number has the bits of its elements.

    Example:
      >>> best_chain(np.array([0.0, 1.0, 5.0, 5.0]))
      [1, 0]
    """
    count = len(gains).bit_length() - 1
    best, last = np.zeros(len(gains)), np.zeros(len(gains), int)
    for subset in range(1, len(gains)):
        elements = [i for i in range(count) if subset >> i & 1]
        before = best[[subset ^ 1 << i for i in elements]]
        chosen = int(np.argmax(before))
        best[subset], last[subset] = before[chosen] + gains[subset], elements[chosen]
    order, subset = [], len(gains) - 1
    while subset:
        order.append(int(last[subset]))
        subset ^= 1 << order[-1]
    return order[::-1]


@partial(jax.jit, static_argnums=(4, 5, 6))
def _by_beam(
    question: Question,
    counted: Bool[Array, "B T"],
    baseline: Any,
    sign: Float[Array, ""],
    removal: Removal,
    beam: int,
    at_once: int,
) -> Int[Array, "B T"]:
    """Returns the ranks of the order with the largest sum of -sign·(the number) that the beam finds."""
    batch, tokens = counted.shape
    ask: Callable[[Array], Array] = partial(
        removed_values, question, removal=removal, baseline=baseline, at_once=at_once
    )
    ranks = jnp.full((beam, batch, tokens), tokens)
    # All paths begin as one, so that only the first of them counts.
    sums = jnp.where(jnp.arange(beam)[:, None] == 0, 0.0, -jnp.inf) * jnp.ones((1, batch))

    def grow(state: tuple[Array, Array], step: Array) -> tuple[tuple[Array, Array], None]:
        ranks, sums = state
        open_ = counted & (ranks == tokens)
        kept = (ranks == tokens)[:, None] & ~jnp.eye(tokens, dtype=bool)[:, None]
        values = ask(kept.reshape(-1, batch, tokens)).reshape(beam, tokens, batch)
        totals = sums[:, None] - sign * values
        totals = jnp.where(jnp.moveaxis(open_, -1, 1), totals, -jnp.inf).reshape(-1, batch)
        best, chosen = jax.lax.top_k(totals.T, beam)
        path, token = chosen.T // tokens, chosen.T % tokens
        grown = jnp.take_along_axis(ranks, path[..., None], axis=0)
        grown = jnp.where(jnp.arange(tokens) == token[..., None], step, grown)
        # An input that has no more tokens stays as it is.
        more = step < counted.sum(1)
        return (jnp.where(more[:, None], grown, ranks), jnp.where(more, best.T, sums)), None

    (ranks, sums), _ = jax.lax.scan(grow, (ranks, sums), jnp.arange(tokens))
    best = jnp.argmax(sums, axis=0)
    return jnp.take_along_axis(ranks, best[None, :, None], axis=0)[0]
