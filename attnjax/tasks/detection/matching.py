"""The cheapest assignment of queries to objects, inside of a compiled program."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_DEAR = 1e9
"""In the place of a cost that is no number, so that the search ends whatever a model says."""


def assigned(costs: Float[Array, "N Q"]) -> Int[Array, " N"]:
    """Returns for each row a column of its own such that the sum of their costs is the least.

    It is the Hungarian method with shortest augmenting paths: exact, in O(N²Q), on the device. A row of zeros
    takes a column that the others leave, so that padding changes nothing for them.

    Args:
      costs: of each pair; no more rows than columns.

    Raises:
      ValueError: There are more rows than columns.

    References:
      Kuhn, The Hungarian Method for the Assignment Problem, 1955; Jonker & Volgenant, 1987.

    Example:
      >>> assigned(jnp.array([[1.0, 2.0, 9.0], [1.0, 9.0, 9.0]])).tolist()
      [1, 0]
    """
    rows, columns = costs.shape
    if rows > columns:
        raise ValueError(f"costs {list(costs.shape)} (N, Q): expected no more rows than columns")
    # Row and column 0 stand for nothing: column 0 holds the row that is looking for a place.
    costs = jnp.where(jnp.isfinite(costs), costs, _DEAR)
    costs = jnp.pad(costs, ((1, 0), (1, 0)))

    def add(row: Any, state: Any) -> Any:
        prices, gains, holder = state
        holder = holder.at[0].set(row)
        far, unused = jnp.full(columns + 1, jnp.inf, costs.dtype), jnp.zeros(columns + 1, bool)
        state = (0, prices, gains, far, unused, jnp.zeros(columns + 1, int))
        at, prices, gains, _, _, before = jax.lax.while_loop(
            lambda state: holder[state[0]] > 0, lambda state: _grown(costs, holder, *state), state
        )

        def turn(state: Any) -> Any:
            at, holder = state
            return before[at], holder.at[at].set(holder[before[at]])

        _, holder = jax.lax.while_loop(lambda state: state[0] > 0, turn, (at, holder))
        return prices, gains, holder

    zero = jnp.zeros_like(costs[0])
    start = (jnp.zeros_like(costs[:, 0]), zero, jnp.zeros(columns + 1, int))
    _, _, holder = jax.lax.fori_loop(1, rows + 1, add, start)
    return jnp.zeros(rows + 1, int).at[holder[1:]].set(jnp.arange(columns))[1:]


def _grown(
    costs: Array,
    holder: Array,
    at: Any,
    prices: Array,
    gains: Array,
    least: Array,
    used: Array,
    before: Array,
) -> Any:
    """Returns the state of the search with the nearest free column added to the tree."""
    used = used.at[at].set(True)
    row = holder[at]
    reduced = costs[row] - prices[row] - gains
    better = (reduced < least) & ~used
    least, before = jnp.where(better, reduced, least), jnp.where(better, at, before)
    open_ones = jnp.where(used.at[0].set(True), jnp.inf, least)
    nearest = open_ones.argmin()
    step = open_ones[nearest]
    prices = prices.at[holder].add(jnp.where(used, step, 0))
    gains = jnp.where(used, gains - step, gains)
    least = jnp.where(used, least, least - step)
    return nearest, prices, gains, least, used, before
