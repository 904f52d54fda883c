"""Exact rankings of all items, of which a chunk at a time is scored."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.largest import largest
from attnjax.ops.items.cross_entropy import over_chunks, require_table

CHUNK = 8192
"""Items scored at a time."""
ROUNDING = 1e-6
"""Of the product of two vectors' lengths: scores that differ by no more are equal."""


class RankedItems(NamedTuple):
    """The place of a target in the ranking of each row, and the head of the ranking.

    Attributes:
      above: the items that score more than the target.
      tied: other items that score as much, to within rounding: the target stands anywhere among them.
      items: the best items, from the best on; [B, 0] where none were asked for.
      scores: of these; -inf where there are fewer items.
    """

    above: Int[Array, " B"]
    tied: Int[Array, " B"]
    items: Int[Array, "B k"]
    scores: Float[Array, "B k"]


def rank_items(
    states: Float[Array, "B D"],
    table: Float[Array, "V D"],
    *,
    k: int = 0,
    targets: Int[Array, " B"] | None = None,
    excluded: Int[Array, "B L"] | None = None,
    items: int | None = None,
    chunk: int = CHUNK,
) -> RankedItems:
    """Returns the rank of a target among all items, scored x·e, and the k best; B·chunk scores at a time.

    Args:
      states: x of the rows.
      table: e of the items.
      k: the number of best items to return.
      targets: an item for each row; None: nobody's rank is asked for, and `above` and `tied` mean nothing.
      excluded: items that are not ranked in a row; -1 stands for none. A target among them has rank V.
      items: the number of rows of the table that are items, the first ones; None: all.
      chunk: items scored at a time; it changes nothing but rounding.

    Raises:
      ValueError: shapes do not fit, or k, items or chunk are no number of rows.

    Example:
      >>> table = jnp.array([[3.0, 0], [1, 5], [2, 2]])
      >>> found = rank_items(jnp.eye(2), table, k=2, targets=jnp.array([2, 2]))
      >>> found.above.tolist(), found.items.tolist()
      ([1, 1], [[0, 2], [1, 2]])
    """
    items = len(table) if items is None else items
    require_table(states, table, items, chunk)
    chunk = min(chunk, items)
    own = jnp.zeros(len(states), states.dtype) if targets is None else jnp.vecdot(states, table[targets])
    lengths = jnp.linalg.norm(states, axis=-1)
    reach = lengths if targets is None else lengths * jnp.linalg.norm(table[targets], axis=-1)

    def score(start: Array) -> Float[Array, "B C"]:
        rows = jax.lax.dynamic_slice_in_dim(table, start, chunk)
        return jnp.einsum("bd,cd->bc", states, rows, preferred_element_type=jnp.float32)

    return rank_chunks(
        score, own, items, k=k, targets=targets, excluded=excluded, margin=ROUNDING * reach, chunk=chunk
    )


def rank_chunks(
    score: Callable[[Array], Float[Array, "B C"]],
    own: Float[Array, " B"],
    items: int,
    *,
    k: int,
    targets: Int[Array, " B"] | None,
    excluded: Int[Array, "B L"] | None,
    margin: Float[Array, " B"],
    chunk: int,
) -> RankedItems:
    """Returns what `rank_items` does, of scores that a function gives.

    Args:
      score: the scores of all rows for `chunk` items from a first one on.
      own: the targets' scores.
      items: the number of items.
      k: as in `rank_items`.
      targets: as in `rank_items`.
      excluded: as in `rank_items`.
      margin: the difference up to which scores count as equal.
      chunk: items scored at a time, at most `items`.
    """
    if not 0 <= k <= items:
        raise ValueError(f"k is {k}: expected 0 to {items}, the number of items")
    rows = len(own)
    place = jnp.arange(rows, dtype=jnp.int32)[:, None]

    def step(found: RankedItems, start: Array, new: Array) -> RankedItems:
        scores = jnp.where(new, score(start), -jnp.inf)
        if excluded is not None:
            within = jnp.where(excluded < start, chunk, excluded - start)
            scores = scores.at[place, within].set(-jnp.inf, mode="drop")
        above, tied, best, values = found
        if targets is not None:
            other = jnp.arange(chunk, dtype=jnp.int32) != (targets - start)[:, None]
            more = (scores - own[:, None]) > margin[:, None]
            equal = jnp.abs(scores - own[:, None]) <= margin[:, None]
            above = above + (more & other).sum(-1, dtype=jnp.int32)
            tied = tied + (equal & other).sum(-1, dtype=jnp.int32)
        if k:
            best, values = _merged(best, values, start, scores)
        return RankedItems(above, tied, best, values)

    count, head = jnp.zeros(rows, jnp.int32), jnp.full((rows, k), -jnp.inf, jnp.float32)
    found = over_chunks(step, RankedItems(count, count, jnp.zeros((rows, k), jnp.int32), head), items, chunk)
    if targets is None or excluded is None:
        return found
    left_out = (excluded == targets[:, None]).any(-1)
    return found._replace(
        above=jnp.where(left_out, items, found.above), tied=jnp.where(left_out, 0, found.tied)
    )


def _merged(best: Array, values: Array, start: Array, scores: Array) -> tuple[Array, Array]:
    """Returns the best of those so far and of a chunk. Of equal ones the first in the table comes first."""
    k = best.shape[1]
    new, at = largest(scores, min(k, scores.shape[1]))
    values, chosen = jax.lax.top_k(jnp.concatenate([values, new.astype(values.dtype)], axis=1), k)
    every = jnp.concatenate([best, start + at], axis=1)
    return jnp.take_along_axis(every, chosen, axis=1).astype(jnp.int32), values
