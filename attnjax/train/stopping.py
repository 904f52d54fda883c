"""Early stopping: where a training ends because its validations no longer get better."""

import math
from collections.abc import Sequence
from typing import Literal

from attnjax.train.config import TrainConfig
from attnjax.train.metrics import Row


def stop_step(
    rows: Sequence[Row], monitor: tuple[str, Literal["max", "min"]], config: TrainConfig
) -> int | None:
    """Returns the step after whose validation a training ends; None where it goes on.

    It ends as soon as `config.patience` validations in a row have not been better than the best one before
    them by more than `config.least_improvement`. A value that is NaN is no improvement. It is a function of
    the rows alone: a run that goes on from a checkpoint ends where it would have ended.

    Args:
      rows: of the metrics file.
      monitor: the value that counts, and its better direction.
      config: of the training.

    References:
      Prechelt, Early Stopping - But When?, 1998 (its third class, successive validations).

    Example:
      >>> rows = [{"step": i, "split": "validation", "right": x} for i, x in enumerate([1.0, 3.0, 2.0, 3.0])]
      >>> stop_step(rows, ("right", "max"), TrainConfig(patience=2))
      3
      >>> stop_step(rows, ("right", "max"), TrainConfig(patience=3))
    """
    if config.patience == 0:
        return None
    name, sign = monitor[0], 1 if monitor[1] == "max" else -1
    best, waited = -math.inf, 0
    for row in rows:
        if row["split"] != "validation":
            continue
        value = sign * row[name]
        if value > best + config.least_improvement:
            best, waited = value, 0
            continue
        waited += 1
        if waited >= config.patience:
            return int(row["step"])
    return None
