"""The table of metrics by attribution."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from attnjax.explain.faithfulness.metrics import METRICS

RANDOM, BEST, RATIONALE, MODEL = "random order", "best order", "rationale", "model"
"""The rows beside those of attributions."""
Values = dict[str, Float[np.ndarray, " B"]]


@dataclass(frozen=True)
class Faithfulness:
    """The metrics of attributions, each with a random and an oracle row beside it.

    Attributes:
      values: row → metric → [B], the value for each input. The rows are the attributions, "random order" (the
        mean over orders), "best order" (the highest AOPC that a search finds), "rationale" where one is
        given, and "model", which has the metrics that are of no map.
      spread: metric → the standard deviation over random orders of the mean over inputs.
      tests: row → the p of the sign test.
      removal: in words.

    Example:
      >>> found = Faithfulness({"raw": {"aopc": np.array([0.25, 0.75])}}, {}, {}, "by 0")
      >>> found.table
      {'raw': {'aopc': 0.5}}
    """

    values: dict[str, Values]
    spread: dict[str, float]
    tests: dict[str, float] = field(default_factory=dict)
    removal: str = ""

    @property
    def table(self) -> dict[str, dict[str, float]]:
        """Row → metric → the mean over inputs that have one, NaN where none has."""
        found = {row: {name: mean_of(x) for name, x in of.items()} for row, of in self.values.items()}
        for row, p in self.tests.items():
            found[row]["sign_test"] = p
        return found

    def __str__(self) -> str:
        table = self.table
        names = list(dict.fromkeys(name for of in table.values() for name in of))
        arrows = {"higher": "↑", "lower": "↓"}
        lines = [["", *(f"{name} {arrows[METRICS[name].better]}" for name in names)]]
        for row, of in table.items():
            cells = [f"{of[name]:.3g}" if name in of else "–" for name in names]
            if row == RANDOM:
                cells = [
                    f"{cell} ± {self.spread[name]:.2g}" if name in self.spread else cell
                    for name, cell in zip(names, cells, strict=True)
                ]
            lines.append([row, *cells])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = "\n".join("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in lines)
        return f"{text}\nremoved {self.removal}" if self.removal else text


def mean_of(x: Float[np.ndarray, " B"]) -> float:
    """Returns the mean over inputs that have a value, NaN where none has."""
    there = ~np.isnan(x)
    return float(x[there].mean()) if there.any() else float("nan")
