"""Inference over many rows, a batch of them at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Int

from attnjax.models.block_config import BlockConfig
from attnjax.tasks.base import Params

ROWS = 256
"""Most rows of a batch. Fewer are filled up to a power of two, so that few shapes compile."""


def in_batches(
    function: Callable[[Params, Any], Any],
    params: Params,
    arrays: Mapping[str, np.ndarray],
    *,
    rows: int | None = None,
) -> Any:
    """Returns function(params, arrays) on the host, computed in batches of equal size, of `rows` if given.

    Hosts of one run, which call it together, take turns with the batches; all get all results.

    >>> in_batches(lambda params, arrays: params * arrays["x"], 2.0, {"x": np.arange(3)})
    array([0., 2., 4.], dtype=float32)
    """
    count = len(next(iter(arrays.values())))
    rows = rows or min(ROWS, 1 << (count - 1).bit_length())

    def result(start: int) -> Any:
        part = {name: _filled(array[start : start + rows], rows) for name, array in arrays.items()}
        return function(params, jax.device_put(part))

    results = in_turns(result, range(0, count, rows))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *results)


def in_turns(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Returns function(item) of each on the host; of several hosts each computes its share of the items.

    The results are arrays of the same shapes for every item. All hosts call this together.

    >>> in_turns(lambda x: {"x": 2 * jax.numpy.ones(x)}, [2, 2])[1]
    {'x': array([2., 2.], dtype=float32)}
    """
    hosts, host = jax.process_count(), jax.process_index()
    turns = -(-len(items) // hosts)
    # A host without an item of its own in the last turn computes the last one too: all give equally much.
    own = [items[min(turn * hosts + host, len(items) - 1)] for turn in range(turns)]
    results: list[Any] = jax.device_get([function(item) for item in own])
    if hosts == 1:
        return results
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *results)
    # [H, turns, …], of which item i is that of host i mod H.
    gathered = multihost_utils.process_allgather(stacked, tiled=False)
    return [jax.tree.map(lambda x, i=i: x[i % hosts, i // hosts], gathered) for i in range(len(items))]


def padded(rows: Sequence[Sequence[int]], most: int | None = None) -> Int[np.ndarray, "B T"]:
    """Returns rows of tokens behind which zeros stand, up to a power of two or to `most` if that is less.

    >>> padded([[5, 6, 7], [8]]).tolist()
    [[5, 6, 7, 0], [8, 0, 0, 0]]
    """
    width = 1 << (max(map(len, rows)) - 1).bit_length()
    tokens = np.zeros((len(rows), width if most is None else min(width, most)), np.int32)
    for row, own in zip(tokens, rows, strict=True):
        row[: len(own)] = own
    return tokens


def most_positions(config: BlockConfig) -> int | None:
    """Returns the number of learned positions of a model; None where there are others."""
    return config.max_length if config.positions == "learned" else None


def _filled(rows: np.ndarray, count: int) -> np.ndarray:
    """Returns the rows, and the last one again until there are `count`."""
    return np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), axis=0)])
