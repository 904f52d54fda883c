"""Batches by step number. The only file that touches Grain."""

import hashlib
from functools import lru_cache
from typing import Any

import grain
import numpy as np

from attnjax.data.hosts import host_rows


class Batches:
    """Shuffled batches of aligned arrays, as a pure function of (seed, step).

    Every epoch is a new permutation; a batch may span two epochs. `batches[step]` needs no batch before
    it, so a resumed run only needs its step. On several hosts each gets its own slice of the batch.

    >>> batches = Batches({"x": np.arange(10)}, batch_size=4, seed=0)
    >>> sorted(np.concatenate([batches[0]["x"], batches[1]["x"], batches[2]["x"]])[:10].tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    def __init__(self, arrays: dict[str, np.ndarray], batch_size: int, seed: int):
        sizes = {name: len(array) for name, array in arrays.items()}
        if len(set(sizes.values())) != 1 or 0 in sizes.values():
            raise ValueError(f"arrays need one equal, positive length; came {sizes}")
        self._arrays = arrays
        self._rows = host_rows(batch_size)
        count = next(iter(sizes.values()))
        if _grain_repeats_one(count):
            self._indices: Any = _Orders(count, batch_size, seed)
        else:
            dataset = grain.MapDataset.range(count)
            self._indices = dataset.seed(_spread(seed)).shuffle().repeat().batch(batch_size)

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        chosen = self._indices[step][self._rows]
        return {name: array[chosen] for name, array in self._arrays.items()}


class _Orders:
    """Batches of the numbers below `count`, in an order of their own in every epoch."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self._count, self._size = count, batch_size
        self._order = lru_cache(2)(lambda epoch: np.random.default_rng([seed, epoch]).permutation(count))

    def __getitem__(self, step: int) -> np.ndarray:
        places = np.arange(step * self._size, (step + 1) * self._size)
        return np.array([self._order(place // self._count)[place % self._count] for place in places.tolist()])


def _grain_repeats_one(count: int) -> bool:
    """Returns True for 4ᵏ + 1 records, 65537 or more.

    Of so many, Grain 0.2.18 shuffles one into every epoch twice and another never:
    `findings/grain-shuffle-leaves-one-out.sh`.
    """
    bits = (count - 1).bit_length() - 1
    return count > 1 << 16 and count - 1 == 1 << bits and bits % 2 == 0


def _spread(seed: int) -> int:
    """Returns a 32-bit hash of the seed: Grain takes seed + epoch, so neighbours would share orders."""
    return int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "big")
