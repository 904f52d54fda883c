"""SMILES and SD files through RDKit, where it is installed. The only file that touches it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from attnjax.config import InputError
from attnjax.data.molecules.molecule import Molecule


class RDKitMissing(InputError):
    """RDKit cannot be imported: no molecule can be read."""


def molecule_of(smiles: str) -> Molecule:
    """Returns the molecule of a SMILES, its atoms in the order of the text.

    Raises:
      InputError: it is no SMILES, or breaks a rule of valence.
      RDKitMissing: RDKit cannot be imported.
    """
    found = _parsed(smiles)
    from rdkit import Chem
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    orders = {
        Chem.BondType.SINGLE: "single",
        Chem.BondType.DOUBLE: "double",
        Chem.BondType.TRIPLE: "triple",
        Chem.BondType.AROMATIC: "aromatic",
    }
    atoms, bonds = list(found.GetAtoms()), list(found.GetBonds())
    return Molecule(
        smiles=smiles,
        symbols=tuple(atom.GetSymbol() for atom in atoms),
        # Bonds of metals are of further kinds; the nearest of ours is a single one.
        bonds=tuple(
            (
                bond.GetBeginAtomIdx(),
                bond.GetEndAtomIdx(),
                orders.get(bond.GetBondType(), "single"),
                bond.IsInRing(),
            )
            for bond in bonds
        ),
        hydrogens=tuple(atom.GetTotalNumHs() for atom in atoms),
        charges=tuple(atom.GetFormalCharge() for atom in atoms),
        identity=Chem.MolToSmiles(found),
        scaffold=MurckoScaffoldSmiles(mol=found),
    )


def places_of(molecule: Molecule) -> Float[np.ndarray, "V 2"]:
    """Returns where a drawing has the atoms of a molecule that `molecule_of` gave."""
    found = _parsed(molecule.smiles)
    from rdkit.Chem.rdDepictor import Compute2DCoords

    Compute2DCoords(found)
    places: np.ndarray = found.GetConformer().GetPositions()
    return places[:, :2]


def records_of(file: Path, value: str) -> Iterator[tuple[str, str] | None]:
    """Yields SMILES and the text of a property of each molecule of an .sdf file; None of a broken one.

    The text is empty where a molecule lacks the property.

    Raises:
      InputError: the file cannot be read.
      RDKitMissing: RDKit cannot be imported.
    """
    with _quiet():
        from rdkit import Chem

        try:
            supplier = Chem.SDMolSupplier(str(file))
        except OSError:
            raise InputError(f"{file}: cannot be read") from None
        for found in supplier:
            if found is None:
                yield None
            else:
                yield Chem.MolToSmiles(found), found.GetProp(value) if found.HasProp(value) else ""


def _parsed(smiles: str) -> Any:
    """Returns RDKit's molecule."""
    with _quiet():
        from rdkit import Chem

        found = Chem.MolFromSmiles(smiles, sanitize=False)
        if found is None or not found.GetNumAtoms():
            raise InputError(f"{smiles!r} is no SMILES")
        problems = Chem.DetectChemistryProblems(found)
        if problems:
            raise InputError(f"{smiles!r}: {problems[0].Message()}")
        return Chem.MolFromSmiles(smiles)


def _quiet() -> Any:
    """Returns a context in which RDKit prints nothing."""
    try:
        from rdkit import rdBase
    except ImportError as error:
        raise RDKitMissing(
            f"SMILES and SD files are read through RDKit, which cannot be imported ({error}): "
            "`pip install 'attnjax[molecules]'` brings it"
        ) from None
    return rdBase.BlockLogs()
