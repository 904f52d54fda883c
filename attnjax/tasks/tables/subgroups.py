"""The rows of a table by class, or by thirds of a number."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from attnjax.data.tables.features import Features
from attnjax.data.tables.files import Table


def subgroups(
    train: Table, test: Table, names: Sequence[str], features: Features
) -> dict[str, Bool[np.ndarray, " n"]]:
    """Returns the rows of the test by class, or by the thirds of the numbers of training, under their names.

    Args:
      train: the rows of training.
      test: the rows that are told apart.
      names: of columns.
      features: say which columns are of numbers.
    """
    found = {}
    known = {feature.name: feature for feature in features.features}
    for name in names:
        own, column = train.columns[name], test.columns[name]
        if name in known and not known[name].classes:
            numbers = np.array([float(text) if text else np.nan for text in column])
            ends = np.quantile([float(text) for text in own if text], (1 / 3, 2 / 3))
            low, high = (f"{end:.4g}" for end in ends)
            found[f"{name} up to {low}"] = numbers <= ends[0]
            found[f"{name} {low} to {high}"] = (numbers > ends[0]) & (numbers <= ends[1])
            found[f"{name} above {high}"] = numbers > ends[1]
        else:
            found |= {f"{name} {text}": column == text for text in sorted(set(column)) if text}
        if (column == "").any():
            found[f"{name} missing"] = column == ""
    return found
