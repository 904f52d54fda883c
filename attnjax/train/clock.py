"""Seconds and speed of a training.

That lies in times.jsonl, since the metrics hold nothing that differs between two runs of a config.
"""

import time
from pathlib import Path

from attnjax.train.metrics import MetricsFile, Row

SHORTEST = 0.5
"""Seconds. In less than that the host may have looked at steps that were finished long before."""


class Clock:
    """Notes the seconds and the speed at each row of training, over all starts of a run."""

    def __init__(self, folder: Path) -> None:
        self._file = MetricsFile(folder / "times.jsonl")
        self.seconds = 0.0
        """At the last row, as the file has them."""

    def start(self, step: int) -> None:
        """A start goes on from `step`: what an earlier one took for later steps does not count."""
        self._file.cut_back(step)
        last = self._file.last()
        self._before = self.seconds = last["seconds"] if last else 0.0
        self._began = time.monotonic()
        self._since: tuple[int, float] | None = None

    def compiled(self, step: int) -> None:
        """A program was compiled just now, and runs from `step` on: no speed is told across that."""
        self._since = step, time.monotonic()

    def stamped(self, row: Row) -> Row:
        """Returns a row of training with "seconds" and "steps_per_second", and notes both.

        The seconds are those of all starts, compilation included. The speed is that since the last row that
        has one, without compilation; None where too little time has passed to tell.
        """
        now, rate = time.monotonic(), None
        if self._since is not None:
            steps, seconds = row["step"] - self._since[0], now - self._since[1]
            if steps > 0 and seconds >= SHORTEST:
                rate, self._since = round(steps / seconds, 2), (row["step"], now)
        self.seconds = round(self._before + now - self._began, 2)
        stamp = {"seconds": self.seconds, "steps_per_second": rate}
        self._file.append({"step": row["step"], **stamp})
        return {**row, **stamp}
