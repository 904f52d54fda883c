"""Rows that are computed in a tile of one shape, in which those that end give their places to others."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

Result = TypeVar("Result")


def in_tiles(
    count: int,
    rows: int,
    begin: Callable[[Int[np.ndarray, " R"]], Any],
    proceed: Callable[[Any, int], Any],
    finished: Callable[[Any], Result],
) -> Result:
    """Returns what comes of each of `count` rows, on the host.

    A tile would take as long as its longest row, were its places not filled again: few rows end together.

    Args:
      count: of the rows.
      rows: R, of a tile.
      begin: of a tile's rows to its state; a tile that is not full repeats the last row.
      proceed: of a state to the one in which so many of its rows have ended; the given one is used up.
      finished: of a state to what has come of each row, [R, …].
    """

    def begun(first: int) -> Any:
        return begin(np.minimum(np.arange(first, first + rows), count - 1))

    state, waiting = begun(0), None
    inside, after = np.arange(rows), rows
    parts: list[Result] = []
    places = np.zeros(count, int)
    while True:
        # Some wait for each other: to exchange rows costs about a step.
        state = proceed(state, max(1, rows // 4) if after < count else rows)
        ended = np.flatnonzero(np.asarray(state.emitted.done).reshape(rows, -1)[:, 0])
        known = ended[inside[ended] < count]
        places[inside[known]] = len(parts) * rows + known
        parts.append(jax.device_get(finished(state)))
        if after >= count:
            return jax.tree.map(lambda *own: np.concatenate(own)[places], *parts)
        if after % rows == 0:
            waiting = begun(after)
        free = ended[: min(rows - after % rows, count - after)]
        taken = np.full(rows, -1)
        taken[free] = after % rows + np.arange(len(free))
        state = _exchanged(state, waiting, taken)
        inside[free] = after + np.arange(len(free))
        after += len(free)


@partial(jax.jit, donate_argnames=("state",))
def _exchanged(state: Any, waiting: Any, taken: Int[Array, " R"]) -> Any:
    """Returns a state in which some rows are those of another one.

    Args:
      state: it is used up.
      waiting: a state of the same shape.
      taken: the row of `waiting` that comes into each place; -1 where the one there stays.
    """
    stays = taken < 0

    def of(own: Array, other: Array) -> Array:
        if not own.ndim:  # A number for all rows, as rules have them.
            return own
        beams = own.shape[0] // len(taken)
        row = beams * jnp.maximum(taken, 0)[:, None] + jnp.arange(beams)
        kept = jnp.repeat(stays, beams).reshape(-1, *(1,) * (own.ndim - 1))
        return jnp.where(kept, own, other[row.reshape(-1)])

    return jax.tree.map(of, state, waiting)
