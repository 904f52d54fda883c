"""Settings of measured molecules. Free of jax and numpy: the command line starts at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from attnjax.config import require, require_seed
from attnjax.data.synthetic.config import require_whole

Split = Literal["scaffold", "random"]


@dataclass(frozen=True)
class MoleculeData:
    """Molecules with a number each, in a CSV, Parquet or SD file.

    >>> MoleculeData(split="time")
    Traceback (most recent call last):
    attnjax.config.InputError: data.split is 'time': expected scaffold or random
    """

    train: Path | None = None
    """The molecules of training: a .csv or .parquet file with SMILES, or an .sdf file."""
    validation: Path | None = None
    """Molecules that choose the best checkpoint; None: held out of `train`."""
    test: Path | None = None
    """Molecules of the final table; None: held out of `train`."""
    holdout: float = 0.15
    """Share of the molecules held out for each part that you do not give."""
    split: Split = "scaffold"
    """The unit that is held out whole: the molecules of one scaffold, or each molecule by itself."""
    smiles: str = "smiles"
    """The column with the SMILES; an .sdf file needs none."""
    value: str = "value"
    """The column with the number, or the property of an .sdf file."""
    most_atoms: int = 100
    """Molecules with more atoms than this, hydrogen not counted, are left out."""
    seed: int = 0
    """Decides the split and the order of the batches."""

    def __post_init__(self) -> None:
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        require(
            self.split in get_args(Split),
            f"data.split is {self.split!r}: expected {' or '.join(get_args(Split))}",
        )
        for name in ("smiles", "value"):
            require(
                bool(getattr(self, name)),
                f"data.{name} is {getattr(self, name)!r}: expected the name of a column",
            )
        require_whole("most_atoms", self.most_atoms, 1)
        require_seed("data.seed", self.seed)
