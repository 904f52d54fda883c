"""The parameters of each lane's best validation, for packs whose trials are evaluated with them."""

import math
from typing import Any, NamedTuple

from attnjax.train.metrics import MetricsFile, Row
from attnjax.train.packs.program import PackProgram, PackTrial
from attnjax.train.state import latest_params


class Best(NamedTuple):
    """The best validation of a trial: its step, its values, and the parameters that it was of, as trained."""

    step: int
    values: dict[str, float]
    params: Any


class BestParams:
    """The parameters of the best validation of the trial in each lane, on the device.

    Which validation that is, the trial's metrics file says: of equals the first, as in a run of its own.

    Attributes:
      params: stacked over the lanes; those of a lane that had no validation yet mean nothing.
    """

    def __init__(self, program: PackProgram) -> None:
        self._program = program
        self.params = latest_params(program.empty())

    def validated(self, lane: int, trial: PackTrial, step: int, params: Any) -> None:
        """Keeps the parameters that were validated after `step` updates, if none before were better."""
        row = self._best_row(trial)
        if row is not None and row["step"] == step:
            self.params = self._program.put(self.params, lane, params)

    def copy(self) -> Any:
        """The parameters, in buffers that no later validation overwrites."""
        return self._program.copy(self.params)

    def of(self, lane: int, trial: PackTrial) -> Best | None:
        """Returns the best validation of the trial in a lane; None where none had a number."""
        row = self._best_row(trial)
        if row is None:
            return None
        return Best(row["step"], values(row), self._program.take(self.params, lane))

    def _best_row(self, trial: PackTrial) -> Row | None:
        name, mode = self._program.task.monitor
        sign = 1 if mode == "max" else -1
        rows = [row for row in validations(trial) if not math.isnan(row[name])]
        return max(rows, key=lambda row: (sign * row[name], -row["step"]), default=None)


def validations(trial: PackTrial) -> list[Row]:
    """Returns the rows of a trial's validations so far."""
    return [row for row in MetricsFile(trial.metrics).rows() if row["split"] == "validation"]


def values(row: Row) -> dict[str, float]:
    """Returns what a validation found."""
    return {name: value for name, value in row.items() if name not in ("step", "split")}
