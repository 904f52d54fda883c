"""Settings of images that are drawn. Free of jax and numpy."""

import math
from dataclasses import dataclass

from attnjax.config import require, require_seed
from attnjax.data.synthetic.config import require_whole

CELL = 6
"""Pixels of a side of a cell."""


@dataclass(frozen=True)
class MosaicData:
    """Mosaics of digits with one mark: which digit stands so many cells to its right?"""

    rows: int = 4
    """Cells of a column."""
    columns: int = 4
    """Cells of a row."""
    apart: int = 1
    """Cells from the mark to the digit that is asked for."""
    noise: float = 0.2
    """Standard deviation of what is added to each pixel, which is 0 or 1."""
    evaluation_examples: int = 512
    """Images of each row of the final table."""
    seed: int = 0
    """Decides all images; those of training, validation and test have streams of their own."""

    def __post_init__(self) -> None:
        for name in ("rows", "apart", "evaluation_examples"):
            require_whole(name, getattr(self, name), 1)
        require_whole("columns", self.columns, self.apart + 1)
        require(
            math.isfinite(self.noise) and self.noise >= 0,
            f"data.noise is {self.noise!r}: it must be 0 or more",
        )
        require_seed("data.seed", self.seed)
