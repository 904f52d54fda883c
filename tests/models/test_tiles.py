"""Rows in a tile: each gets its own result, and those that end make room."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.models.decoding.loop import Emitted
from attnjax.models.decoding.tiles import in_tiles

NEEDED = np.array([3, 9, 1, 1, 7, 2, 5, 30, 1, 4, 6])
"""Steps that each row takes."""
BEAMS = 2


class State(NamedTuple):
    """What is known of rows; each has two beams, and all of them one number."""

    emitted: Emitted
    beam: Any
    penalty: Any


def begin(row: np.ndarray) -> State:
    beams = (BEAMS * jnp.asarray(row)[:, None] + jnp.arange(BEAMS)).reshape(-1)
    tokens = jnp.full((len(beams), 40), -1)
    emitted = Emitted(tokens, jnp.zeros(len(beams), int), jnp.zeros(len(beams), bool))
    return State(emitted, beams, jnp.float32(0.5))


@pytest.mark.parametrize("rows", [1, 2, 4, 16])
@pytest.mark.parametrize("count", [1, 4, 5, 11])
def test_each_row_has_its_result_whoever_had_the_place_before(rows: int, count: int) -> None:
    steps = 0

    def proceed(state: State, enough: int) -> State:
        nonlocal steps
        tokens, length, done = map(np.array, state.emitted)
        while done.sum() < enough * BEAMS:
            tokens[~done, length[~done]] = np.asarray(state.beam)[~done]
            length += ~done
            done |= length >= NEEDED[np.asarray(state.beam) // BEAMS]
            steps += 1
        return state._replace(emitted=Emitted(*map(jnp.asarray, (tokens, length, done))))

    def finished(state: State) -> tuple[Any, None]:
        return state.emitted.tokens.reshape(rows, BEAMS, -1), None

    tokens, nothing = in_tiles(count, rows, begin, proceed, finished)
    assert nothing is None
    beam = np.arange(BEAMS * count).reshape(count, BEAMS, 1)
    expected = np.where(np.arange(40) < NEEDED[:count, None, None], beam, -1)
    np.testing.assert_array_equal(tokens, expected)
    tile_by_tile = sum(NEEDED[first : first + rows].max() for first in range(0, count, rows))
    assert steps <= tile_by_tile
    if (rows, count) == (4, 11):
        assert tile_by_tile == 9 + 30 + 6
        assert steps == 3 + 30, "the longest begins as soon as one of the first has ended"
