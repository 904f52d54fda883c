"""Measured molecules in files; what cannot be used is left out and named, with file and row."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from attnjax.config import InputError, require
from attnjax.data.molecules.chemistry import RDKitMissing, molecule_of, records_of
from attnjax.data.molecules.config import MoleculeData
from attnjax.data.molecules.molecule import Molecule
from attnjax.data.tables.files import read_table, require_columns


class MeasuredMolecules(NamedTuple):
    """Molecules with the number and the place in a file of each.

    Attributes:
      molecules: in the order of the file.
      values: what was measured.
      places: file and row.
    """

    molecules: list[Molecule]
    values: Float[np.ndarray, " n"]
    places: list[str]

    def __len__(self) -> int:
        return len(self.molecules)

    def chosen(self, rows: np.ndarray) -> "MeasuredMolecules":
        """Returns the molecules of these numbers."""
        return MeasuredMolecules(
            [self.molecules[row] for row in rows], self.values[rows], [self.places[row] for row in rows]
        )


def read_measured(file: Path, data: MoleculeData) -> tuple[MeasuredMolecules, list[str]]:
    """Returns the molecules of a file, and a line on each row that is left out.

    Raises:
      InputError: the file cannot be read, lacks a column, or no row of it can be used; RDKit is missing.
    """
    molecules, values, places, left_out = [], [], [], []
    for place, smiles, text in _rows(file, data):
        try:
            require(smiles is not None, "a broken molecule")
            molecule = _usable(smiles or "", text, data)
        except RDKitMissing:
            raise
        except InputError as error:
            left_out.append(f"{place}: {error}")
            continue
        molecules.append(molecule)
        values.append(float(text))
        places.append(place)
    require(len(molecules) > 0, f"{file}: no row can be used: {left_out[0] if left_out else 'it is empty'}")
    return MeasuredMolecules(molecules, np.array(values), places), left_out


def _usable(smiles: str, text: str, data: MoleculeData) -> Molecule:
    require(bool(smiles), f"the column {data.smiles!r} is empty")
    molecule = molecule_of(smiles)
    count = len(molecule)
    require(count <= data.most_atoms, f"{smiles!r} has {count} atoms, data.most_atoms is {data.most_atoms}")
    require(_is_number(text), f"{data.value} is {text!r}: expected a number")
    return molecule


def _rows(file: Path, data: MoleculeData) -> Iterator[tuple[str, str | None, str]]:
    """Yields place, SMILES (None of a broken molecule) and the text of the value of each row."""
    if file.suffix.lower() == ".sdf":
        for number, record in enumerate(records_of(file, data.value), 1):
            smiles, text = (None, "") if record is None else record
            yield f"{file}: molecule {number}", smiles, text
        return
    require(
        file.suffix.lower() in (".csv", ".parquet"),
        f"{file}: expected a name that ends in .csv, .parquet or .sdf",
    )
    table = read_table(file)
    require_columns(table, (data.smiles,), "data.smiles")
    require_columns(table, (data.value,), "data.value")
    for row, (smiles, text) in enumerate(
        zip(table.columns[data.smiles], table.columns[data.value], strict=True)
    ):
        yield table.place(row), smiles, text


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
