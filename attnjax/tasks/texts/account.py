"""Findings about a trained model of texts: rows of the final table, and a picture."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from attnjax.data.text.tokenizer import PretrainedTokenizer
from attnjax.models.encoder import Encoder
from attnjax.tasks.base import Arrays

PICTURE = "calibration.png"


class Account(NamedTuple):
    """Rows of the final table, and texts to draw.

    Attributes:
      rows: of the table.
      drawn: of each text its words, and what each counts for the label.
    """

    rows: Mapping[str, Mapping[str, float]]
    drawn: Sequence[Sequence[tuple[str, float]]] = ()

    def table(self) -> dict[str, dict[str, float]]:
        """Returns the rows."""
        return {row: dict(columns) for row, columns in self.rows.items()}

    def pictures(self, shares: Mapping[str, np.ndarray], labels: np.ndarray, folder: Path) -> list[Path]:
        """Draws the calibration of models beside the texts, and returns the file.

        Args:
          shares: of each model the probabilities [n, L].
          labels: the right ones [n].
          folder: gets the file.
        """
        from attnjax.tasks.pictures import save
        from attnjax.tasks.texts.picture import text_figure

        save(text_figure(shares, labels, self.drawn), folder / PICTURE)
        return [folder / PICTURE]


Asked = Callable[[Encoder, Arrays, PretrainedTokenizer], Account]
"""A function of the trained model, the test texts and the tokenizer."""
