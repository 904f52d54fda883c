"""The live progress bar: step, loss, accuracy, steps per second, time left."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from attnjax.train.metrics import Row


class ProgressBar:
    """An observer that draws a bar on a terminal, and elsewhere prints a plain line now and then.

    `seconds_between_lines` holds where the console is no terminal; the last step always prints.
    """

    def __init__(self, console: Console | None = None, *, seconds_between_lines: float = 15.0) -> None:
        self._console = console or Console(stderr=True)
        self._seconds_between_lines = seconds_between_lines
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._numbers: dict[str, str] = {}

    def start(self, step: int, steps: int) -> None:
        self._steps = steps
        self._first: tuple[int, float] | None = None
        self._last_line = time.monotonic()
        self._task = self._bar.add_task("train", total=steps, completed=step, numbers="compiling")
        self._bar.start()

    def row(self, row: Row) -> None:
        rate = self._steps_per_second(row["step"])
        self._numbers.update(_numbers(row))
        if rate:
            self._numbers["steps/s"] = f"{rate:.1f}"
        text = "  ".join(f"{name} {value}" for name, value in self._numbers.items())
        self._bar.update(self._task, completed=row["step"], numbers=text)
        if not self._console.is_terminal and row["split"] == "train":
            self._print_line(row["step"], rate, text)

    def close(self) -> None:
        self._bar.stop()

    def _steps_per_second(self, step: int) -> float:
        """Since the first row, which compilation delayed; 0 before there is a second one."""
        now = time.monotonic()
        self._first = self._first or (step, now)
        first_step, then = self._first
        return (step - first_step) / max(now - then, 1e-9)

    def _print_line(self, step: int, rate: float, text: str) -> None:
        now = time.monotonic()
        if step < self._steps and now - self._last_line < self._seconds_between_lines:
            return
        self._last_line = now
        left = f"  {(self._steps - step) / rate:.0f} s left" if rate else ""
        self._console.print(f"step {step}/{self._steps}  {text}{left}", highlight=False, soft_wrap=True)


def _numbers(row: Row) -> dict[str, str]:
    """What a line has room for: of a validation, its first number."""
    if row["split"] == "train":
        shown = {"loss": row["loss"], "token accuracy": row.get("token_accuracy")}
    else:
        name = next(name for name in row if name not in ("step", "split"))
        shown = {f"validation {name.replace('_', ' ')}": row[name]}
    return {name: f"{value:.3f}" for name, value in shown.items() if value is not None}
