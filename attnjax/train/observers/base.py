"""The interface of an observer: it is told what a run does while it trains."""

from collections.abc import Sequence
from typing import Any

from attnjax.train.metrics import Row


class Observer:
    """Sees a training from its start to its end; this one does nothing.

    A run that goes on after a kill shows the rows after its checkpoint again.
    """

    def initializing(self) -> None:
        """The program of the initial parameters is compiled next; what a checkpoint holds replaces them."""

    def start(self, step: int, steps: int, parameters: int) -> None:
        """Training goes from `step` to `steps`; its program is compiled next, where steps are left."""

    def compiled(self, seconds: float, engines: Sequence[str]) -> None:
        """The program is compiled, which took so many seconds, and its first steps are running.

        `engines` are those that compute its attention.
        """

    def row(self, row: Row) -> None:
        """A row of the metrics file: step, split ("train" or "validation") and numbers.

        One of training has two more, those of `Clock.stamped`.
        """

    def snapshot(self, step: int, params: Any) -> None:
        """The parameters of a checkpoint, on one device, as its validation has them."""

    def close(self) -> None:
        """Training ended, was interrupted or failed."""
