"""Inference over many rows, a batch of them at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
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

    >>> in_batches(lambda params, arrays: params * arrays["x"], 2.0, {"x": np.arange(3)})
    array([0., 2., 4.], dtype=float32)
    """
    count = len(next(iter(arrays.values())))
    rows = rows or min(ROWS, 1 << (count - 1).bit_length())
    results = []
    for start in range(0, count, rows):
        part = {name: _filled(array[start : start + rows], rows) for name, array in arrays.items()}
        results.append(function(params, jax.device_put(part)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *jax.device_get(results))


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
