"""Prints the state of sweeps: a live table while one runs, its status, its report."""

import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from attnjax.data.progress import console_of_notes
from attnjax.experiment.words import duration
from attnjax.runs.report.digits import shown
from attnjax.sweeps.launch import DryRun
from attnjax.sweeps.report.table import changes_text, mean_and_sd, reason_of
from attnjax.sweeps.report.write import SweepReport
from attnjax.sweeps.spec import SweepSpec
from attnjax.sweeps.status import STATUSES, SweepProgress, best_trial, sweep_status
from attnjax.sweeps.store import TRACEBACK_FILE, Sweep, TrialRecord
from attnjax.sweeps.trials import Trial

MAX_LISTED_SETTINGS = 20


class LiveTable(SweepProgress):
    """Shows how a sweep goes on: a live table on a terminal, elsewhere a line from time to time."""

    def __init__(
        self, spec: SweepSpec, *, console: Console | None = None, seconds_between_lines: float = 15.0
    ) -> None:
        super().__init__(spec)
        self._console = console or console_of_notes()
        self._seconds_between_lines = seconds_between_lines
        self._bar = Progress(
            TextColumn("trial-steps"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)

    def begin(self, sweep: Sweep, trials: int, steps: int) -> None:
        """Shows the table, or prints the first line."""
        super().begin(sweep, trials, steps)
        self._last_line = time.monotonic()
        self._task = self._bar.add_task("", total=steps, left="")
        if self._console.is_terminal:
            self._live.start()
            self._show()
        else:
            self._print_line(self._left())

    def started(self, trials: int) -> None:
        """Counts trials that are now computed, and shows it."""
        super().started(trials)
        self._show()

    def computed(self, steps: int) -> None:
        """Counts steps that are done, and shows it."""
        super().computed(steps)
        self._show()

    def ended(self, trial: Trial, status: str, value: float | None, reason: str | None) -> None:
        """Counts the end of a trial, and says why it failed."""
        super().ended(trial, status, value, reason)
        if status == "failed":
            self._print_failure(trial.number, reason)
        self._show()

    def refused(self, number: int, reason: str) -> None:
        """Says why a trial cannot be."""
        super().refused(number, reason)
        self._print_failure(number, reason)
        self._show()

    def close(self) -> None:
        """Takes the table away."""
        super().close()
        self._live.stop()
        self._print_line(self._rate())

    def _show(self) -> None:
        if self._console.is_terminal:
            self._bar.update(self._task, completed=self.steps_done, left=self._left())
            self._live.update(Group(self._table(), self._bar))
        elif time.monotonic() - self._last_line >= self._seconds_between_lines:
            self._print_line(self._left())

    def _table(self) -> Table:
        table = Table(*STATUSES, "best so far", box=None)
        table.add_row(*(str(n) for n in self.counts.values()), Text(self._best_text()))
        return table

    def _best_text(self) -> str:
        if self.best is None:
            return "—"
        value, changes = self.best
        return f"{value:.4g}  {changes_text(changes)}"

    def _left(self) -> str:
        return "compiling" if self.compiling else self._rate()

    def _rate(self) -> str:
        if not self.steps_done:
            return "no step yet"
        return f"{self.trials_per_hour:.0f} trials/h  {duration(self.seconds_left)} left"

    def _print_line(self, left: str) -> None:
        self._last_line = time.monotonic()
        counts = ", ".join(f"{n} {name}" for name, n in self.counts.items() if n)
        line = f"{counts}; best so far {self._best_text()}; {left}"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _print_failure(self, number: int, reason: str | None) -> None:
        text = f"trial {number} failed: {reason}"
        self._console.print(text, style="red", highlight=False, markup=False)


def print_status(sweep: Sweep) -> None:
    """Prints a line on the state of a sweep, a line for each failure, and the commands that go on."""
    console, status = Console(), sweep_status(sweep)
    counts = ", ".join(f"{number} {name}" for name, number in status.counts.items())
    console.print(f"{sweep.name}: {counts or 'no trials'}", highlight=False, soft_wrap=True)
    _print_failures(console, status.failed)
    if status.resumable:
        console.print(f"  `attnjax resume {sweep.name}` goes on", highlight=False, soft_wrap=True)
    if status.retryable:
        text = f"  `attnjax resume {sweep.name} --retry-failed` runs what failed once more"
        console.print(text, highlight=False, soft_wrap=True)


def print_end(sweep: Sweep) -> None:
    """Prints the folder of a sweep, its best trial so far, and the command that reports on it."""
    console, best = Console(), best_trial(sweep)
    lines = [f"folder: {sweep.folder}"]
    if best:
        trial, text = best.trial, f"{best.metric} {best.value:.4g}"
        lines.append(f"best:   trial {trial.number} ({changes_text(trial.changes)}), {text}: {trial.folder}")
        lines.append(f"report: attnjax report {sweep.name}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_trials(spec: SweepSpec, dry: DryRun) -> None:
    """Prints the outcome of a dry run: the trials by shape, and the time that they would take."""
    console, groups, layout = Console(), dry.groups, dry.layout
    first = f", {sum(map(len, groups))} draws of the search" if spec.search else ""
    table = Table("group", "trials", "changes", title=f"{spec.name}: {spec.count} trials{first}")
    for i, group in enumerate(groups):
        shown = [changes_text(trial.changes) for trial in group[:MAX_LISTED_SETTINGS]]
        more = f"\n… {len(group) - MAX_LISTED_SETTINGS} more" if len(group) > MAX_LISTED_SETTINGS else ""
        table.add_row(str(i), str(len(group)), Text("\n".join(shown) + more))
    console.print(table)
    packs = f"packs of {layout.width}, {layout.batching} on {layout.devices} device(s)"
    text = f"{len(groups)} shape(s), a program each; {packs}: about {duration(dry.seconds)} of training"
    console.print(f"{text}, without evaluations", highlight=False, soft_wrap=True)


def print_report(report: SweepReport) -> None:
    """The settings, the best first, what failed, what matters, and the files."""
    console, found = Console(), report.found
    counts = ", ".join(f"{number} {status}" for status, number in found.counts.items())
    which = " of the best weights" if found.weights == "best" else ""
    title = f"{found.sweep.name}: {counts}; {found.metric}{which}, {found.mode} is best"
    heads = (*found.axes, "mean", "± sd", "n", "failed", "pruned")
    # Text, since a str may hold square brackets, which rich takes for markup.
    table = Table(*heads, title=Text(title, style="table.title"), title_justify="left")
    for i, setting in enumerate(found.settings[:MAX_LISTED_SETTINGS]):
        cells = [Text(shown(setting.changes.get(name, ""))) for name in found.axes]
        numbers = list(mean_and_sd(setting))
        numbers += [str(count) for count in (len(setting.values), setting.failed, setting.pruned)]
        table.add_row(*cells, *numbers, style="bold" if i == 0 else None)
    console.print(table)
    if len(found.settings) > MAX_LISTED_SETTINGS:
        console.print(f"… {len(found.settings) - MAX_LISTED_SETTINGS} more settings in table.csv")
    for name, share in found.importance.items():
        console.print(
            f"{name} explains {100 * share:.0f} % of the variance between settings", highlight=False
        )
    for name in found.untold:
        console.print(f"{name}: cannot be told, it has another value in every setting", highlight=False)
    if found.nothing_varies:
        console.print("nothing varies: all settings have the same mean")
    _print_failures(console, [trial for trial in found.trials if trial.status == "failed"])
    for trial in found.without_metric:
        text = f"trial {trial.number} ({changes_text(trial.changes)}): {found.metric} is no finite number"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    if best := found.best_with_weights:
        text = f"trial {best.number} ({changes_text(best.changes)}) keeps its weights: {best.folder}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    for file in report.files:
        if file.suffix not in (".svg", ".pdf"):
            beside = " (.svg and .pdf beside it)" if file.suffix == ".png" else ""
            console.print(f"{file}{beside}", highlight=False, markup=False, soft_wrap=True)


def _print_failures(console: Console, failed: Sequence[TrialRecord]) -> None:
    for record in failed:
        text = f"trial {record.number} ({changes_text(record.changes)}) failed: {reason_of(record)}"
        if (details := record.folder / TRACEBACK_FILE).is_file():
            text += f"; its traceback: {details}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
