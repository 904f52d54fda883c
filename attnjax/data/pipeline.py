"""Batches by step number."""

from functools import lru_cache

import numpy as np
from jaxtyping import Int

from attnjax.data.hosts import host_rows


class Batches:
    """Shuffled batches of aligned arrays, as a pure function of (seed, step).

    Every epoch is a new permutation; a batch may span two epochs. `batches[step]` needs no batch before
    it, so a resumed run only needs its step. On several hosts each gets its own slice of the batch, or with
    `whole` all of it.

    >>> batches = Batches({"x": np.arange(10)}, batch_size=4, seed=0)
    >>> sorted(np.concatenate([batches[0]["x"], batches[1]["x"], batches[2]["x"]])[:10].tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    def __init__(
        self, arrays: dict[str, np.ndarray], batch_size: int, seed: int, *, whole: bool = False
    ) -> None:
        sizes = {name: len(array) for name, array in arrays.items()}
        if len(set(sizes.values())) != 1 or 0 in sizes.values():
            raise ValueError(f"arrays need one equal, positive length; came {sizes}")
        self._arrays = arrays
        self._size, own = batch_size, host_rows(batch_size)
        self._rows = slice(0, batch_size) if whole else own
        self._count = count = next(iter(sizes.values()))
        # The seed and the epoch are two words of one: added up, neighbouring seeds would share orders.
        self._order = lru_cache(2)(lambda epoch: np.random.default_rng([seed, epoch]).permutation(count))

    @property
    def row_counts(self) -> set[int]:
        """The numbers of rows that batches have, of all hosts together: one."""
        return {self._size}

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        (chosen,) = self.numbers(step, step + 1)
        return {name: array[chosen[self._rows]] for name, array in self._arrays.items()}

    def numbers(self, start: int, end: int) -> Int[np.ndarray, "steps B"]:
        """Returns the rows of the arrays that steps [start, end) read, over all hosts."""
        epochs, places = np.divmod(np.arange(start * self._size, end * self._size), self._count)
        orders = [self._order(epoch)[places[epochs == epoch]] for epoch in range(epochs[0], epochs[-1] + 1)]
        return np.concatenate(orders).reshape(-1, self._size)
