"""What every task offers to training and to the experiments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from attnjax.nn.dropout import Dropout

Params = Any
"""A pytree of arrays."""


@dataclass(frozen=True)
class Evaluation:
    """The final account of a trained model: a table (row → column → value), samples, and figures on disk."""

    metrics: dict[str, dict[str, float]]
    samples: list[dict[str, str]] = field(default_factory=list)
    figures: list[Path] = field(default_factory=list)


class Task(Protocol):
    """A data source, a model, a loss and metrics, bound together.

    A task may have `notes` too: lines that a user should read before training begins.
    """

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """Which of the values of `validate` says which checkpoint is best, and in which direction."""

    def init(self, key: Key[Array, ""]) -> Params:
        """Fresh parameters; traceable."""

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The training batch of a step, [batch_size, …] each, on the host; a pure function of the step."""

    def loss(
        self,
        params: Params,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        label_smoothing: float | Float[Array, ""],
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The loss and its metrics ("loss", "token_accuracy", "weight"); pure and traceable.

        Both are means over `weight` terms, so that batches can be joined exactly.
        """

    def validate(self, params: Params) -> dict[str, float]:
        """A cheap look at held-out examples, for choosing the best checkpoint."""

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """The final evaluation. Figures and details are written into the folder."""

    def save(self, folder: Path) -> None:
        """Writes what a trained run needs besides its parameters."""


@runtime_checkable
class HoldsOut(Protocol):
    """A task that can also show examples which it does not train on: its runs get a validation loss."""

    def held_out(self) -> Mapping[str, np.ndarray]:
        """Held-out examples, in the form of `Task.batch`; the same ones at every call."""


@runtime_checkable
class NamesAxes(Protocol):
    """A task that names the axes of its parameters, so that a mesh can split them by rules."""

    def logical_axes(self) -> Any:
        """Returns a tree like the parameters with a tuple of names for each, as `nn.logical_axes` gives."""
