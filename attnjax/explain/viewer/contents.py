"""The parts that the viewer shows: attention maps, attributions with their faithfulness, an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from attnjax.config import require

Tokens = Sequence[str]


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """The weights of a layer's heads: how much each row's token reads of each column's.

    Maps whose names differ in a number alone ("blocks.0.attention", "blocks.1.attention") are shown as the
    layers of one picture.

    Attributes:
      name: the path of the layer.
      rows: the tokens that look, T.
      columns: the tokens that are looked at, S.
      weights: of head, row and column [H, T, S]; finite, and negative ones are allowed.
      heads: the numbers of the heads; None: 0 to H-1.
      notes: what is known of the map, by name; shown below it.
      first_written: the row at which the first of the explanation's written tokens was chosen; the rows after
        it chose the others. None: nothing was written here.
      edges: pairs of a row and a column [E, 2]: the map is one of a graph and drawn as such too.
      places: of the graph's nodes, x and y between 0 and 1 [T, 2]; None where there is no graph.

    Raises:
      InputError: Shapes do not fit, or a weight is not finite.
    """

    name: str
    rows: Tokens
    columns: Tokens
    weights: Float[np.ndarray, "H T S"]
    heads: tuple[int, ...] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    first_written: int | None = None
    edges: Int[np.ndarray, "E 2"] | None = None
    places: Float[np.ndarray, "T 2"] | None = None

    def __post_init__(self) -> None:
        shape, labels = np.shape(self.weights), (len(self.rows), len(self.columns))
        require(
            len(shape) == 3 and shape[1:] == labels and min(shape) > 0,
            f"{self.name}: weights {list(shape)}: expected (H, T, S) with {labels[0]} rows and "
            f"{labels[1]} columns",
        )
        require(bool(np.isfinite(self.weights).all()), f"{self.name}: a weight is not finite")
        heads = self.heads
        require(
            heads is None or len(heads) == shape[0],
            f"{self.name}: heads {heads}: expected {shape[0]} numbers",
        )


class FaithfulnessRow(NamedTuple):
    """The success of an attribution in one measure, beside those of a random and of the best order.

    Attributes:
      value: of the attribution.
      random: of a random order of the tokens.
      oracle: of the best order that is known.
      spread: the standard deviation of the value over seeds; None where it was measured once.
    """

    value: float
    random: float
    oracle: float
    spread: float | None = None


@dataclass(frozen=True, eq=False)
class Saliency:
    """The share of each token in an output, by one method of attribution.

    Attributes:
      method: its name.
      tokens: the tokens that have scores, S.
      scores: of the tokens [S]; or [T, S], those for each token that was written.
      target: what the scores explain, in words.
      faithfulness: its measures by name.

    Raises:
      InputError: Shapes do not fit, or a score is not finite.
    """

    method: str
    tokens: Tokens
    scores: Float[np.ndarray, "*T S"]
    target: str = ""
    faithfulness: Mapping[str, FaithfulnessRow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = np.shape(self.scores)
        require(
            len(shape) in (1, 2) and shape[-1] == len(self.tokens),
            f"{self.method}: scores {list(shape)}: expected (S,) or (T, S) with {len(self.tokens)} tokens",
        )
        require(bool(np.isfinite(self.scores).all()), f"{self.method}: a score is not finite")


class PatchImage(NamedTuple):
    """An image whose patches are columns of maps, row by row.

    Attributes:
      png: the image as a PNG file.
      rows: patches from top to bottom.
      columns: patches from left to right.
      first: the column of the first patch, after a class token for example.
    """

    png: bytes
    rows: int
    columns: int
    first: int = 0
