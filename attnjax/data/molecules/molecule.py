"""A molecule, and what a model reads of its atoms and bonds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

ELEMENTS = ("C", "N", "O", "F", "P", "S", "Cl", "Br", "I")
"""Elements with a feature of their own; the others share one."""
ORDERS = ("single", "double", "triple", "aromatic")
"""Kinds of bonds."""
MOST_BONDS = 5
"""Bonds of an atom that are told apart: more count as so many."""
MOST_HYDROGENS = 3
"""Hydrogen atoms at an atom that are told apart: more count as so many."""
FEATURES = (
    *(f"element {element}" for element in (*ELEMENTS, "other")),
    *(f"{count} bonds" for count in range(MOST_BONDS + 1)),
    *(f"{count} hydrogen" for count in range(MOST_HYDROGENS + 1)),
    "charge",
    "aromatic",
    "in a ring",
)
"""The numbers that an atom holds."""
BOND_FEATURES = (*ORDERS, "in a ring")
"""The numbers that a bond holds."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Molecule:
    """Atoms other than hydrogen, and the bonds between them.

    Attributes:
      smiles: as it was written.
      symbols: the elements of the atoms.
      bonds: two atoms, one of `ORDERS`, and whether the bond is in a ring.
      hydrogens: at each atom.
      charges: of the atoms.
      identity: a text that is the same for the same molecule; empty: the SMILES.
      scaffold: the ring systems with what links them, as a text; empty where there is no ring.

    Example:
      >>> water, ethanol = Molecule("O", ("O",), (), (2,)), Molecule(
      ...     "CCO", ("C", "C", "O"), ((0, 1, "single", False), (1, 2, "single", False)), (3, 2, 1)
      ... )
      >>> arrays = padded([water, ethanol])
      >>> {name: array.shape for name, array in arrays.items()}
      {'atoms': (2, 3, 23), 'edges': (2, 2, 4), 'bonds': (2, 4, 5), 'lengths': (2,)}
      >>> arrays["edges"][1].tolist()
      [[0, 1, 1, 2], [1, 0, 2, 1]]
    """

    smiles: str
    symbols: tuple[str, ...]
    bonds: tuple[tuple[int, int, str, bool], ...]
    hydrogens: tuple[int, ...]
    charges: tuple[int, ...] = ()
    identity: str = ""
    scaffold: str = ""

    def __len__(self) -> int:
        return len(self.symbols)

    def atom_features(self) -> Float32[np.ndarray, "V A"]:
        """Returns the numbers of `FEATURES` for each atom."""
        count = len(self)
        degree, aromatic, ringed = (np.zeros(count, int) for _ in range(3))
        for *ends, order, ring in self.bonds:
            for end in ends:
                degree[end] += 1
                aromatic[end] |= order == "aromatic"
                ringed[end] |= ring
        kinds = [ELEMENTS.index(s) if s in ELEMENTS else len(ELEMENTS) for s in self.symbols]
        return np.concatenate(
            [
                _one_hot(kinds, len(ELEMENTS) + 1),
                _one_hot(np.minimum(degree, MOST_BONDS), MOST_BONDS + 1),
                _one_hot(np.minimum(self.hydrogens, MOST_HYDROGENS), MOST_HYDROGENS + 1),
                np.stack([self.charges or np.zeros(count), aromatic, ringed], axis=1).astype(np.float32),
            ],
            axis=1,
        )

    def bond_features(self) -> Float32[np.ndarray, "E F"]:
        """Returns the numbers of `BOND_FEATURES` for each bond."""
        orders = _one_hot([ORDERS.index(order) for *_, order, _ in self.bonds], len(ORDERS))
        rings = np.array([ring for *_, ring in self.bonds], np.float32)
        return np.concatenate([orders, rings[:, None]], axis=1)


def padded(molecules: Sequence[Molecule], atoms: int | None = None, bonds: int | None = None) -> Arrays:
    """Returns the arrays of molecules, of which a bond is two edges, there and back.

    "atoms" [n, V, A] and "bonds" [n, E, F] hold features, 0 where there is padding, "edges" [n, 2, E] the
    ends, -1 where there is padding, and "lengths" [n] the numbers of atoms.

    Args:
      molecules: at least one.
      atoms: V; None: as many as the largest has.
      bonds: E/2; None: as many as needed, one at least.
    """
    atoms = max(map(len, molecules)) if atoms is None else atoms
    bonds = max(1, *(len(molecule.bonds) for molecule in molecules)) if bonds is None else bonds
    count = len(molecules)
    arrays: Arrays = {
        "atoms": np.zeros((count, atoms, len(FEATURES)), np.float32),
        "edges": np.full((count, 2, 2 * bonds), -1, np.int32),
        "bonds": np.zeros((count, 2 * bonds, len(BOND_FEATURES)), np.float32),
        "lengths": np.array(list(map(len, molecules)), np.int32),
    }
    for row, molecule in enumerate(molecules):
        arrays["atoms"][row, : len(molecule)] = molecule.atom_features()
        if molecule.bonds:
            ends = np.array([bond[:2] for bond in molecule.bonds])
            both = np.stack([ends, ends[:, ::-1]], axis=1).reshape(-1, 2)
            arrays["edges"][row, :, : len(both)] = both.T
            arrays["bonds"][row, : len(both)] = np.repeat(molecule.bond_features(), 2, axis=0)
    return arrays


def _one_hot(numbers: Sequence[int] | np.ndarray, width: int) -> Float32[np.ndarray, "n W"]:
    return np.eye(width, dtype=np.float32)[np.asarray(numbers, int)]
