"""Inference over many rows, a batch of them at a time."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

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


def _filled(rows: np.ndarray, count: int) -> np.ndarray:
    """Returns the rows, and the last one again until there are `count`."""
    return np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), axis=0)])
