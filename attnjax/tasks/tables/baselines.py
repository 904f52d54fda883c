"""Baselines of tables without attention: the share of a label, logistic regression and gradient boosting."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from attnjax.data.scikit_learn import boosted, has_boosting
from attnjax.tasks.linear_fit import linear_fit

BOOSTING = "gradient boosting (scikit-learn)"


def table_baselines(
    train: Float[np.ndarray, "n F"],
    labels: Int[np.ndarray, " n"],
    test: Float[np.ndarray, "m F"],
    classes: Sequence[int],
) -> dict[str, Float[np.ndarray, " m"]]:
    """Returns by name the probability of label 1 that each baseline gives for the rows of the test.

    Args:
      train: numbers, codes of classes, and NaN for what is missing.
      labels: 0 or 1, of the rows of training.
      test: the other rows.
      classes: the number of classes of each column, 0 for numbers.
    """
    found = {"share of the label": np.full(len(test), labels.mean())}
    kernel, bias = linear_fit(widened(train, classes), np.eye(2)[labels], classes=True)
    logits = widened(test, classes) @ kernel + bias
    found["logistic regression"] = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    if has_boosting():
        found[BOOSTING] = boosted(train, labels, test, np.asarray(classes) > 0)
    return found


def widened(values: Float[np.ndarray, "n F"], classes: Sequence[int]) -> Float[np.ndarray, "n W"]:
    """Returns a column for each number, class, and column that may be missing; a missing number is the mean.

    Example:
      >>> widened(np.array([[0.5, 1.0], [np.nan, np.nan]]), (0, 2)).tolist()
      [[0.5, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 1.0]]
    """
    columns = []
    for column, count in zip(values.T, classes, strict=True):
        missing = np.isnan(column)
        if count:
            columns += [(column == code).astype(np.float64) for code in range(count)]
        else:
            columns.append(np.where(missing, 0, column))
        columns.append(missing.astype(np.float64))
    return np.stack(columns, axis=1)
