"""Baselines of molecules without attention: the mean, and regressions on counts of atoms and bonds."""

import numpy as np
from jaxtyping import Float

from attnjax.data.molecules.molecule import Arrays
from attnjax.data.scikit_learn import boosted_numbers, has_boosting
from attnjax.tasks.linear_fit import linear_fit

BOOSTING = "gradient boosting on counts (scikit-learn)"


def molecule_baselines(
    train: Arrays, values: Float[np.ndarray, " n"], test: Arrays
) -> dict[str, Float[np.ndarray, " m"]]:
    """Returns by name the number that each baseline gives for the molecules of the test.

    Args:
      train: as `padded` gives them.
      values: the numbers of the molecules of training.
      test: the other molecules.
    """
    found = {"the mean of training": np.full(len(test["lengths"]), values.mean())}
    counts, others = counted(train), counted(test)
    mean, scale = counts.mean(0), counts.std(0)
    scale = np.where(scale > 0, scale, 1)
    kernel, bias = linear_fit((counts - mean) / scale, (values - values.mean())[:, None], classes=False)
    given = ((others - mean) / scale) @ kernel + bias
    found["ridge regression on counts"] = given[:, 0] + values.mean()
    if has_boosting():
        found[BOOSTING] = boosted_numbers(counts, values, others)
    return found


def counted(arrays: Arrays) -> Float[np.ndarray, "n C"]:
    """Returns the sums of the features of atoms and of bonds, and the numbers of atoms.

    These are the elements, how many atoms have so many bonds and hydrogen atoms, charges, rings, and the
    kinds of bonds: what the model reads, without which atom stands beside which.

    Example:
      >>> arrays = {"atoms": np.ones((1, 3, 2)), "bonds": np.ones((1, 4, 1)), "lengths": np.array([3])}
      >>> counted(arrays).tolist()
      [[3.0, 3.0, 2.0, 3.0]]
    """
    parts = arrays["atoms"].sum(1), arrays["bonds"].sum(1) / 2, arrays["lengths"][:, None]
    return np.concatenate(parts, axis=1).astype(np.float64)
