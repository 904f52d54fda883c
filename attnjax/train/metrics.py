"""The metrics of a run: append-only JSON lines that a resumed run continues as if it had never stopped."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.train import strict_json

if TYPE_CHECKING:
    import numpy as np

Row = dict[str, Any]


class MetricsFile:
    """Rows with their step, in order of step, one JSON object a line.

    Rows hold nothing that differs between two runs of the same config (no times), so that a run that was
    killed and resumed leaves the same bytes as one that never stopped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def cut_back(self, step: int) -> None:
        """Drops every row after `step`, and a last line that was torn by a kill."""
        if not self._path.exists():
            return
        kept = 0
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                    break
                kept += len(line)
        os.truncate(self._path, kept)

    def rows(self) -> list[Row]:
        """All rows but a last one that was torn or is being written; none where there is no file yet."""
        return [strict_json.numbers(json.loads(line)) for line in self._lines()]

    def last(self) -> Row | None:
        """The last of the rows; None without any."""
        lines = self._lines()
        return strict_json.numbers(json.loads(lines[-1])) if lines else None

    def append(self, row: Row) -> None:
        """Writes one row; it is in the file when this returns."""
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(strict_json.dumps(row) + "\n")

    def _lines(self) -> list[str]:
        return self._path.read_text(encoding="utf-8").split("\n")[:-1] if self._path.exists() else []

    def sync(self) -> None:
        """Waits until the rows are on the disk: before a checkpoint that counts on them is saved."""
        if self._path.exists():
            with self._path.open("rb") as lines:
                os.fsync(lines.fileno())


def train_row(step: int, metrics: "dict[str, np.ndarray]") -> Row:
    """Returns the row of a chunk that ended at `step`, from its metrics per step, [K].

    The task's metrics are averaged over the chunk by weight, "weight" is the sum of the weights, grad_norm
    and learning_rate are those of the last step.
    """
    import numpy as np  # Commands that only read rows answer sooner without it.

    weight = metrics["weight"].astype(np.float64)
    last = {name: float(metrics[name][-1]) for name in ("grad_norm", "learning_rate")}
    means = {
        name: float(np.sum(values * weight) / np.sum(weight))
        for name, values in metrics.items()
        if name not in ("weight", *last)
    }
    return {"step": step, "split": "train", **means, **last, "weight": float(np.sum(weight))}
