"""The parts of measured molecules, of which no two share a molecule."""

import math
from typing import NamedTuple

import numpy as np

from attnjax.config import require
from attnjax.data.molecules.config import MoleculeData
from attnjax.data.molecules.files import MeasuredMolecules, read_measured
from attnjax.data.molecules.molecule import Molecule

PARTS = ("train", "validation", "test")


class MoleculeParts(NamedTuple):
    """Molecules by part, and a line on each row that is in none.

    Attributes:
      parts: "train", "validation" and "test".
      unusable: rows that no part has, since they cannot be read.
      repeated: rows of training whose molecule another given part has too.
    """

    parts: dict[str, MeasuredMolecules]
    unusable: list[str]
    repeated: list[str]


def molecule_parts(data: MoleculeData) -> MoleculeParts:
    """Returns the molecules of each part; those without a file are held out of training.

    A molecule that is given for a test, or for validation, is left out of training.

    Raises:
      InputError: a file cannot be used, or a part has no molecule.
    """
    require(data.train is not None, "data.train is None: expected a .csv, .parquet or .sdf file")
    given, unusable, repeated = {}, [], []
    for part in PARTS:
        if (file := getattr(data, part)) is not None:
            given[part], left_out = read_measured(file, data)
            unusable += left_out
    taken: dict[str, str] = {}
    for part in reversed(PARTS):
        if part in given:
            given[part], lines = _apart(given[part], taken)
            repeated += lines
            taken |= {_identity(molecule): part for molecule in given[part].molecules}
    missing = [part for part in PARTS if part not in given]
    if missing:
        given |= _held_out(given["train"], data, missing)
    lost = f"; {len(unusable)} row(s) cannot be used, the first: {unusable[0]}" if unusable else ""
    for part, measured in given.items():
        require(len(measured) > 0, f"data.{part} has no molecule: expected more of them in data.train{lost}")
    return MoleculeParts({part: given[part] for part in PARTS}, unusable, repeated)


def _identity(molecule: Molecule) -> str:
    return molecule.identity or molecule.smiles


def _apart(measured: MeasuredMolecules, taken: dict[str, str]) -> tuple[MeasuredMolecules, list[str]]:
    names = [_identity(molecule) for molecule in measured.molecules]
    lines = [
        f"{place}: {molecule.smiles!r} is in data.{taken[name]} too"
        for place, molecule, name in zip(measured.places, measured.molecules, names, strict=True)
        if name in taken
    ]
    return measured.chosen(np.flatnonzero([name not in taken for name in names])), lines


def _held_out(
    measured: MeasuredMolecules, data: MoleculeData, missing: list[str]
) -> dict[str, MeasuredMolecules]:
    """Returns the parts, in which groups stay together; a group too large for them is trained on."""
    names = [
        molecule.scaffold if data.split == "scaffold" and molecule.scaffold else _identity(molecule)
        for molecule in measured.molecules
    ]
    groups, sizes = np.unique(names, return_counts=True)
    room = dict.fromkeys(missing, math.ceil(data.holdout * len(measured)))
    home = {}
    for i in np.random.default_rng([data.seed, 37]).permutation(len(groups)):
        part = next((part for part, left in room.items() if sizes[i] <= left), "train")
        home[groups[i]] = part
        if part != "train":
            room[part] -= sizes[i]
    homes = np.array([home[name] for name in names])
    return {part: measured.chosen(np.flatnonzero(homes == part)) for part in ("train", *missing)}
