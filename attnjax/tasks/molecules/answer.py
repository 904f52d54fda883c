"""The number of a molecule as an answer, and the atoms that it comes from."""

import re
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
      scores: what each atom adds to it, by method; empty: nothing is known of that.
    """

    molecule: Molecule
    value: float
    scores: dict[str, tuple[float, ...]]

    @property
    def text(self) -> str:  # type: ignore[override]
        """The number."""
        return f"{self.value:.3f}"

    def record(self) -> dict[str, Any]:
        """Returns the number."""
        return {"value": self.value}

    def details(self) -> dict[str, Any]:
        """Returns the atoms with their scores."""
        return {"atoms": self.molecule.symbols, **self.scores}

    def picture(self) -> str:
        """Returns a line for each method: the atoms with their scores, in the order of the SMILES."""
        symbols = self.molecule.symbols
        return "\n".join(
            f"{name}: " + " ".join(f"{s} {score:+.2f}" for s, score in zip(symbols, own, strict=True))
            for name, own in self.scores.items()
        )

    def save(self, folder: Path) -> list[Path]:
        """Writes NAME.molecule.png, the atoms coloured by their scores, NAME from the SMILES."""
        if not self.scores:
            return []
        from attnjax.tasks.molecules.picture import molecules_figure
        from attnjax.tasks.pictures import encoded

        name, own = next(iter(self.scores.items()))
        letters = re.sub(r"[^A-Za-z0-9]+", "_", self.molecule.smiles)[:MOST_LETTERS]
        file = folder / f"{letters}.molecule.png"
        figure = molecules_figure([self.molecule], [own], [f"{self.text}: {name}"])
        file.write_bytes(encoded(figure))
        return [file]
