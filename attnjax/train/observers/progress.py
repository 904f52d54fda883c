"""The live progress bar: step, loss, the task's metrics, steps per second, time left."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from attnjax.data.progress import console_of_notes
from attnjax.train.metrics import Row
from attnjax.train.observers.base import Observer

NOT_THE_TASKS = {
    *("step", "split", "loss", "weight", "grad_norm", "learning_rate"),
    *("seconds", "steps_per_second"),
}
"""Entries of a row of training that stand for something else than a metric of the task."""
METRICS = 3
"""Most metrics of a task that a line shows, beside the loss."""


class ProgressBar(Observer):
    """An observer that draws a bar on a terminal, and elsewhere prints a plain line now and then.

    `seconds_between_lines` holds where the console is no terminal; the last step always prints.
    """

    def __init__(self, console: Console | None = None, *, seconds_between_lines: float = 15.0) -> None:
        self._console = console or console_of_notes()
        self._seconds_between_lines = seconds_between_lines
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=None, numbers="")
        self._numbers: dict[str, str] = {}

    def initializing(self) -> None:
        """Says that the state is being made."""
        doing = "compiling the initial parameters"
        self._bar.update(self._task, numbers=doing)
        self._bar.start()
        if not self._console.is_terminal:
            self._print(doing)

    def start(self, step: int, steps: int, parameters: int) -> None:
        """Shows the bar from the step on that training goes on from."""
        self._steps = steps
        self._rate: float | None = None
        self._last_line = time.monotonic()
        doing = f"compiling, {parameters:,} parameters" if step < steps else ""
        self._bar.reset(self._task, total=steps, completed=step, numbers=doing)
        self._bar.start()
        if doing and not self._console.is_terminal:
            self._print(f"step {step}/{steps}  {doing}")

    def compiled(self, seconds: float, engines: Sequence[str]) -> None:
        """Says how long the program took to compile, and its engines."""
        by = f", attention by {' and '.join(engines)}" if engines else ""
        text = f"compiled in {seconds:.1f} s{by}"
        self._bar.update(self._task, numbers=text)
        if not self._console.is_terminal:
            self._print(text)

    def row(self, row: Row) -> None:
        """Shows a row beside the bar."""
        self._numbers.update(_numbers(row))
        if rate := row.get("steps_per_second"):
            self._rate = rate
            self._numbers["steps/s"] = f"{rate:.3g}"
        text = "  ".join(f"{name} {value}" for name, value in self._numbers.items())
        self._bar.update(self._task, completed=row["step"], numbers=text)
        if not self._console.is_terminal and row["split"] == "train":
            self._print_line(row["step"], text)

    def close(self) -> None:
        """Takes the bar away."""
        self._bar.stop()

    def _print_line(self, step: int, text: str) -> None:
        now = time.monotonic()
        if step < self._steps and now - self._last_line < self._seconds_between_lines:
            return
        self._last_line = now
        left = (self._steps - step) / self._rate if self._rate else 0
        self._print(f"step {step}/{self._steps}  {text}" + (f"  {left:.0f} s left" if left else ""))

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def _numbers(row: Row) -> dict[str, str]:
    """Returns what a line has room for: of a validation, its first number and its loss."""
    if row["split"] == "train":
        metrics = [name for name in row if name not in NOT_THE_TASKS][:METRICS]
        shown = {name.replace("_", " "): row[name] for name in ("loss", *metrics)}
    else:
        first = next(name for name in row if name not in ("step", "split"))
        shown = {f"validation {name.replace('_', ' ')}": row.get(name) for name in (first, "loss")}
    return {name: f"{value:.3f}" for name, value in shown.items() if value is not None}
