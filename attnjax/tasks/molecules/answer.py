"""The number of a molecule as an answer, and the atoms that it comes from."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnjax.data.molecules.molecule import Molecule
from attnjax.tasks.base import Prediction

MOST_LETTERS = 60
"""Of a SMILES in the name of a file."""


@dataclass(frozen=True)
class MoleculeValue(Prediction):
    """The number of a molecule.

    Attributes:
      molecule: that was asked for.
      value: in the unit of training.
      lost: what is lost when each atom alone is taken out.
    """

    molecule: Molecule
    value: float
    lost: tuple[float, ...]

    @property
    def text(self) -> str:  # type: ignore[override]
        """The number."""
        return f"{self.value:.3f}"

    def record(self) -> dict[str, Any]:
        """Returns the number."""
        return {"value": self.value}

    def details(self) -> dict[str, Any]:
        """Returns the atoms with what is lost without each."""
        return {"atoms": self.molecule.symbols, "lost": self.lost}

    def picture(self) -> str:
        """Returns the atoms with what is lost without each, in the order of the SMILES."""
        pairs = zip(self.molecule.symbols, self.lost, strict=True)
        return "lost without the atom: " + " ".join(f"{symbol} {lost:+.2f}" for symbol, lost in pairs)

    def save(self, folder: Path, named: Callable[[str], str] = str) -> list[Path]:
        """Writes NAME.molecule.png, the atoms coloured by what is lost without them, NAME from the SMILES."""
        from attnjax.tasks.molecules.picture import molecules_figure
        from attnjax.tasks.pictures import encoded

        letters = re.sub(r"[^A-Za-z0-9]+", "_", self.molecule.smiles)[:MOST_LETTERS]
        file = folder / f"{named(letters)}.molecule.png"
        file.write_bytes(encoded(molecules_figure([self.molecule], [self.lost], [self.text])))
        return [file]
