"""Batches of molecules, several of which stand in a row, so that there is little padding."""

import math
from functools import cached_property

import jax
import numpy as np
from jaxtyping import Bool, Int

from attnjax.data.hosts import host_rows
from attnjax.data.molecules.molecule import Arrays
from attnjax.data.pipeline import Batches

SHARES = 8
"""Parts that a batch can be split into where their number divides its size: devices times micro-batches."""
MULTIPLE = 8
"""Of the atoms that a row has room for, and of the bonds: most seeds share the shape of their arrays."""
STEPS_AT_ONCE = 4096
"""Steps whose molecules are looked at together."""


class PackedBatches:
    """Shuffled batches of molecules, as a pure function of (seed, step), in arrays of one shape.

    A step has the molecules of `Batches`. They are dealt to R rows, equally many to each: from the largest
    to the smallest, to and fro, so that rows are about equally full. The arrays are those of `packed`. R is
    a multiple of every number of devices and micro-batches that the batch can be split over.

    Rows have the room that the fullest of the first `steps` steps needs. A later step that needs more has
    more, and with it another shape.

    Args:
      arrays: the molecules of training, as `padded` gives them, with any others of a row for each.
      batch_size: molecules of a batch, of all hosts together.
      seed: of the order.
      steps: of the training.
      accumulate: micro-batches of a batch.

    Example:
      >>> from attnjax.data.molecules.molecule import Molecule, padded
      >>> chains = [Molecule("C" * n, ("C",) * n, (), (0,) * n) for n in range(1, 17)]
      >>> batches = PackedBatches(padded(chains), batch_size=16, seed=0, steps=10)
      >>> batches[0]["segments"][0].tolist()
      [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0]
    """

    def __init__(
        self, arrays: Arrays, *, batch_size: int, seed: int, steps: int, accumulate: int = 1
    ) -> None:
        self._arrays, self._steps = arrays, steps
        self._atoms, self._edges = arrays["lengths"], (arrays["edges"][:, 0] >= 0).sum(1)
        shares = max(SHARES, accumulate * jax.device_count())
        self._rows = math.lcm(*(n for n in range(1, min(shares, batch_size) + 1) if batch_size % n == 0))
        self._order = Batches({"row": np.arange(len(self._atoms))}, batch_size, seed)

    def __getitem__(self, step: int) -> Arrays:
        (dealt,) = self._dealt(step, step + 1)
        # That of all hosts, whose arrays have one shape.
        atoms, edges = np.maximum(self._room, self._needed(dealt)).tolist()
        return packed(self._arrays, dealt[host_rows(self._rows)], atoms, edges)

    @cached_property
    def _room(self) -> tuple[int, int]:
        starts = range(0, self._steps, STEPS_AT_ONCE)
        needed = [self._needed(self._dealt(at, min(at + STEPS_AT_ONCE, self._steps))) for at in starts]
        return max(atoms for atoms, _ in needed), max(edges for _, edges in needed)

    def _needed(self, dealt: Int[np.ndarray, "*steps R G"]) -> tuple[int, int]:
        atoms, edges = (int(own[dealt].sum(-1).max()) for own in (self._atoms, self._edges))
        return -(-atoms // MULTIPLE) * MULTIPLE, -(-max(edges, 1) // (2 * MULTIPLE)) * 2 * MULTIPLE

    def _dealt(self, start: int, end: int) -> Int[np.ndarray, "steps R G"]:
        """Returns the molecules of each row of steps [start, end)."""
        numbers = self._order.numbers(start, end)
        ranks = np.argsort(-self._atoms[numbers], axis=1, kind="stable")
        dealt = np.take_along_axis(numbers, ranks, axis=1).reshape(len(numbers), -1, self._rows)
        dealt[:, 1::2] = dealt[:, 1::2, ::-1]
        return dealt.swapaxes(1, 2)


def packed(arrays: Arrays, rows: Int[np.ndarray, "R G"], atoms: int, edges: int) -> Arrays:
    """Returns molecules one behind the other in rows.

    "atoms" [R, V, A], "bonds" [R, E, F] and "edges" [R, 2, E], whose ends are places in the row, are 0 and
    -1 where there is padding, and "segments" [R, V] is the number from 1 of each atom's molecule, 0 there.
    Others have an entry for each molecule [R, G, …].

    Args:
      arrays: as `padded` gives them, with any others.
      rows: the molecules of each row.
      atoms: V, no less than those of a row's molecules.
      edges: E, the same.

    Example:
      >>> from attnjax.data.molecules.molecule import Molecule, padded
      >>> bond = ((0, 1, "single", False),)
      >>> given = padded([Molecule("O", ("O",), (), (2,)), Molecule("CO", ("C", "O"), bond, (3, 1))])
      >>> found = packed(given, np.array([[0, 1, 1]]), atoms=6, edges=5)
      >>> found["segments"][0].tolist(), found["edges"][0].tolist()
      ([1, 2, 2, 3, 3, 0], [[1, 2, 3, 4, -1], [2, 1, 4, 3, -1]])
    """
    chosen = {name: array[rows] for name, array in arrays.items()}
    lengths, ends = chosen.pop("lengths"), chosen.pop("edges").swapaxes(-1, -2)
    before = lengths.cumsum(1) - lengths
    is_atom = np.arange(chosen["atoms"].shape[2]) < lengths[..., None]
    is_edge = ends[..., 0] >= 0
    number = np.broadcast_to(np.arange(1, rows.shape[1] + 1, dtype=np.int32)[:, None], is_atom.shape)
    return {
        "atoms": _joined(chosen.pop("atoms"), is_atom, atoms, 0),
        "edges": _joined(ends + before[..., None, None].astype(np.int32), is_edge, edges, -1).swapaxes(1, 2),
        "bonds": _joined(chosen.pop("bonds"), is_edge, edges, 0),
        "segments": _joined(number, is_atom, atoms, 0),
        **chosen,
    }


def _joined(entries: np.ndarray, there: Bool[np.ndarray, "R G S"], width: int, padding: int) -> np.ndarray:
    """Returns the entries [R, G, S, …] of each row that are there, behind each other [R, width, …]."""
    rows = there.shape[0]
    found = np.full((rows, width, *entries.shape[3:]), padding, entries.dtype)
    of_row = there.reshape(rows, -1)
    places = of_row.cumsum(1) - 1
    row = np.broadcast_to(np.arange(rows)[:, None], of_row.shape)
    found[row[of_row], places[of_row]] = entries[there]
    return found
