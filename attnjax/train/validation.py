"""Validation: the task's own values, the loss of held-out examples, and its gap to that of training."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from attnjax.tasks.base import HoldsOut, Hyperparameters
from attnjax.tasks.inference import in_turns
from attnjax.tasks.rehearsal import validation
from attnjax.train.metrics import Row

if TYPE_CHECKING:
    from attnjax.tasks.base import Task

ROWS = 64
"""Held-out examples computed at a time: their logits take less room than those of training."""


class Validation:
    """Validates parameters of a task; its program is compiled once."""

    def __init__(self, task: "Task") -> None:
        self._task = task

        def measure(params: Any, batch: Mapping[str, jax.Array], hyper: Hyperparameters) -> tuple[Any, Any]:
            metrics = task.loss(params, batch, dropout=None, hyper=hyper)[1]
            return metrics["loss"], metrics["weight"]

        self._measure = jax.jit(measure)

    def row(self, step: int, params: Any, *, train_loss: float, hyper: Hyperparameters) -> Row:
        """Returns the row of a validation after `step` updates; `hyper` is for the loss, as in training.

        It holds what `task.validate` finds and, for a task that `HoldsOut` examples, "loss", the training's
        loss of them without dropout, and "gap", by how much it is above `train_loss`.
        """
        row: Row = {"step": step, "split": "validation", **validation(self._task, params, hyper)}
        if not isinstance(self._task, HoldsOut):
            return row
        loss = self._loss(params, self._task.held_out(), hyper)
        return {**row, "loss": loss, "gap": loss - train_loss}

    def _loss(self, params: Any, examples: Mapping[str, np.ndarray], hyper: Hyperparameters) -> float:
        """Over as many whole pieces of equal size as there are: a rest would compile another program."""
        count = len(next(iter(examples.values())))
        rows = min(ROWS, count)

        def measure(start: int) -> Any:
            piece = {name: x[start : start + rows] for name, x in examples.items()}
            return self._measure(params, piece, dict(hyper))

        measured = in_turns(measure, range(0, count - rows + 1, rows))
        losses, weights = np.asarray(measured, np.float64).T
        return float(np.sum(losses * weights) / np.sum(weights))
