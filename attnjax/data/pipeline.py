"""Batches by step number. The only file that touches Grain."""

import hashlib

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
        dataset = grain.MapDataset.range(next(iter(sizes.values())))
        self._indices = dataset.seed(_spread(seed)).shuffle().repeat().batch(batch_size)

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        chosen = self._indices[step][self._rows]
        return {name: array[chosen] for name, array in self._arrays.items()}


def _spread(seed: int) -> int:
    """Returns a 32-bit hash of the seed: Grain takes seed + epoch, so neighbours would share orders."""
    return int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "big")
