"""Settings of tables with a label. Free of jax and numpy: the command line starts at once."""

from dataclasses import dataclass
from pathlib import Path

from attnjax.config import require, require_seed


@dataclass(frozen=True)
class TableData:
    """Rows with two kinds of label, in a CSV or Parquet file; the rows of one person stay together.

    >>> TableData(target="")
    Traceback (most recent call last):
    attnjax.config.InputError: data.target is '': expected the name of the column with the label
    """

    train: Path | None = None
    """The rows of training: a .csv file with a line of names, or a .parquet file."""
    validation: Path | None = None
    """Rows that choose the best checkpoint; None: held out of `train`."""
    test: Path | None = None
    """Rows of the final table; None: held out of `train`."""
    holdout: float = 0.15
    """Share of the persons held out for each part that you do not give."""
    target: str = "label"
    """The column with the label, which has two values."""
    positive: str | None = None
    """The value whose probability is asked for; None: the last one by its name."""
    person: str | None = None
    """The column that names the person of a row; None: each row is another one."""
    left_out: tuple[str, ...] = ()
    """Columns that the model must not read, such as what is known only later."""
    categorical: tuple[str, ...] = ()
    """Columns of numbers that are names of classes; those with other texts are anyway."""
    subgroups: tuple[str, ...] = ()
    """Columns by which the final table has rows: one for each class, or for each third of the numbers."""
    seed: int = 0
    """Decides the split and the order of the batches."""

    def __post_init__(self) -> None:
        require(0 < self.holdout < 0.5, f"data.holdout is {self.holdout}: it must lie between 0 and 0.5")
        require(
            bool(self.target),
            f"data.target is {self.target!r}: expected the name of the column with the label",
        )
        for name in ("left_out", "subgroups"):
            require(
                self.target not in getattr(self, name),
                f"data.{name} has {self.target!r}: that is data.target",
            )
        require_seed("data.seed", self.seed)
