"""What people see of a sweep: a live table while it runs, and where it stands."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from attnjax.experiment.words import duration
from attnjax.runs.report.digits import shown
from attnjax.runs.store import Run
from attnjax.sweeps.report.table import changes_text, mean_and_sd, reason_of
from attnjax.sweeps.report.write import Report
from attnjax.sweeps.space import Changes
from attnjax.sweeps.spec import SweepSpec
from attnjax.sweeps.store import TRACEBACK_FILE, Sweep, TrialRecord, metric_value, read_plan
from attnjax.sweeps.trials import Trial
from attnjax.sweeps.worker import Watcher

MAX_LISTED_SETTINGS = 20
STATUSES = ("done", "running", "failed", "pruned", "waiting")


class LiveTable(Watcher):
    """Trials by status, the best so far, trials per hour, the time left; plain lines where no terminal is."""

    def __init__(
        self, spec: SweepSpec, *, console: Console | None = None, seconds_between_lines: float = 15.0
    ) -> None:
        self._console = console or Console(stderr=True)
        self._mode, self._metric = spec.mode, spec.metric
        self._seconds_between_lines = seconds_between_lines
        self._best: tuple[float, Changes] | None = None
        self._running = 0
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
        monitor, better = (read_plan(sweep) or {"monitor": ["", "max"]})["monitor"]
        self._mode = self._mode or better
        records = sweep.trials()
        for record in [record for record in records if record.status == "done"]:
            self._rank(metric_value(record.result, self._metric, monitor), record.changes)
        self._count: Counter[str] = Counter(record.status for record in records if record.result)
        self._trials, self._steps, self._done = trials, steps, 0
        self._began = time.monotonic()
        self._ended_here, self._last_line = 0, self._began
        self._task = self._bar.add_task("", total=steps, left="")
        if self._console.is_terminal:
            self._live.start()
            self._show()
        else:
            self._print_line(self._left())

    def started(self, trials: int) -> None:
        self._running += trials
        self._show()

    def computed(self, steps: int) -> None:
        self._done = min(self._done + steps, self._steps)  # A search that was killed computes some again.
        self._show()

    def ended(self, trial: Trial, status: str, value: float | None, reason: str | None) -> None:
        self._count[status] += 1
        self._running -= 1
        self._ended_here += 1
        if status == "failed":
            self._print_failure(trial.number, reason)
        self._rank(value if status == "done" else None, trial.changes)
        self._show()

    def refused(self, number: int, reason: str) -> None:
        self._count["failed"] += 1
        self._print_failure(number, reason)
        self._show()

    def close(self) -> None:
        self._running = 0
        self._live.stop()
        self._print_line(self._rate())

    def _show(self) -> None:
        if self._console.is_terminal:
            self._bar.update(self._task, completed=self._done, left=self._left())
            self._live.update(Group(self._table(), self._bar))
        elif time.monotonic() - self._last_line >= self._seconds_between_lines:
            self._print_line(self._left())

    def _counts(self) -> dict[str, int]:
        found = {**self._count, "running": self._running}
        waiting = self._trials - sum(found.values())
        return {name: found.get(name, 0) for name in STATUSES[:-1]} | {"waiting": max(0, waiting)}

    def _table(self) -> Table:
        table = Table(*STATUSES, "best so far", box=None)
        table.add_row(*(str(n) for n in self._counts().values()), Text(self._best_text()))
        return table

    def _best_text(self) -> str:
        if self._best is None:
            return "—"
        value, changes = self._best
        return f"{value:.4g}  {changes_text(changes)}"

    def _left(self) -> str:
        # The program of a shape is compiled before its first steps: a while during which no trial runs.
        counts = self._counts()
        compiling = not self._done or (counts["waiting"] and not counts["running"])
        return "compiling" if compiling else self._rate()

    def _rate(self) -> str:
        if not self._done:
            return "no step yet"
        took = time.monotonic() - self._began
        left = (self._steps - self._done) * took / self._done
        return f"{3600 * self._ended_here / took:.0f} trials/h  {duration(left)} left"

    def _print_line(self, left: str) -> None:
        self._last_line = time.monotonic()
        counts = ", ".join(f"{n} {name}" for name, n in self._counts().items() if n)
        line = f"{counts}; best so far {self._best_text()}; {left}"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _print_failure(self, number: int, reason: str | None) -> None:
        text = f"trial {number} failed: {reason}"
        self._console.print(text, style="red", highlight=False, markup=False)

    def _rank(self, value: float | None, changes: Changes) -> None:
        """Keeps what is better than the best so far."""
        sign = 1 if self._mode == "max" else -1
        if value is not None and (self._best is None or sign * value > sign * self._best[0]):
            self._best = value, changes


def print_status(sweep: Sweep) -> None:
    """One line on how far a sweep is, one for each failure, and how to go on.

    Trials that have begun are "running" while a process works on the sweep, and "stopped" else.
    """
    console, records = Console(), sweep.trials()
    count: Counter[str] = Counter(record.status for record in records)
    asks_for = (sweep.record().get("search") or {"trials": len(records)})["trials"]
    count["waiting"] += asks_for - len(records)
    if not Run(sweep.folder).locked:
        count["stopped"] = count.pop("running", 0)
    counts = ", ".join(f"{count[name]} {name}" for name in (*STATUSES, "stopped") if count[name])
    console.print(f"{sweep.name}: {counts or 'no trials'}", highlight=False, soft_wrap=True)
    _print_failures(console, records)
    if count["waiting"] or count["stopped"]:
        console.print(f"  `attnjax resume {sweep.name}` goes on", highlight=False, soft_wrap=True)
    if count["failed"] and not sweep.record().get("search"):
        text = f"  `attnjax resume {sweep.name} --retry-failed` runs what failed once more"
        console.print(text, highlight=False, soft_wrap=True)


def print_end(sweep: Sweep) -> None:
    """Where a sweep lies, its best trial so far, and the command that reports on it."""
    console = Console()
    record, plan = sweep.record(), read_plan(sweep) or {"monitor": ["", "max"]}
    metric, (monitor, better) = record["metric"], plan["monitor"]
    sign = 1 if (record["mode"] or better) == "max" else -1
    done = [trial for trial in sweep.trials() if trial.status == "done"]
    values = [(trial, metric_value(trial.result, metric, monitor)) for trial in done]
    known = [(sign * value, -trial.number, trial) for trial, value in values if value is not None]
    lines = [f"folder: {sweep.folder}"]
    if known:
        value, _, best = max(known)
        text = f"{metric or f'validation {monitor}'} {sign * value:.4g}"
        lines.append(f"best:   trial {best.number} ({changes_text(best.changes)}), {text}: {best.folder}")
        lines.append(f"report: attnjax report {sweep.name}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_trials(spec: SweepSpec, groups: Sequence[Sequence[Any]], estimate: str) -> None:
    """What a dry run shows: the trials by shape, and the time they would take."""
    console = Console()
    first = f", {sum(map(len, groups))} draws of the search" if spec.search else ""
    table = Table("group", "trials", "changes", title=f"{spec.name}: {spec.count} trials{first}")
    for i, group in enumerate(groups):
        shown = [changes_text(trial.changes) for trial in group[:MAX_LISTED_SETTINGS]]
        more = f"\n… {len(group) - MAX_LISTED_SETTINGS} more" if len(group) > MAX_LISTED_SETTINGS else ""
        table.add_row(str(i), str(len(group)), Text("\n".join(shown) + more))
    console.print(table)
    console.print(estimate, highlight=False, soft_wrap=True)


def print_report(report: Report) -> None:
    """The settings, the best first, what failed, what matters, and the files."""
    console, found = Console(), report.found
    counts = ", ".join(f"{number} {status}" for status, number in found.counts.items())
    title = f"{found.sweep.name}: {counts}; {found.metric}, {found.mode} is best"
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
    _print_failures(console, found.trials)
    for trial in found.without_metric:
        text = f"trial {trial.number} ({changes_text(trial.changes)}): {found.metric} is no finite number"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    kept = [t for t in found.trials if t.number in found.values and (t.folder / "checkpoints").is_dir()]
    if kept:
        sign = 1 if found.mode == "max" else -1
        best = max(kept, key=lambda trial: sign * found.values[trial.number])
        text = f"trial {best.number} ({changes_text(best.changes)}) keeps its weights: {best.folder}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    for file in report.files:
        if file.suffix not in (".svg", ".pdf"):
            beside = " (.svg and .pdf beside it)" if file.suffix == ".png" else ""
            console.print(f"{file}{beside}", highlight=False, markup=False, soft_wrap=True)


def _print_failures(console: Console, records: Sequence[TrialRecord]) -> None:
    for record in records:
        if record.status == "failed":
            text = f"trial {record.number} ({changes_text(record.changes)}) failed: {reason_of(record)}"
            if (details := record.folder / TRACEBACK_FILE).is_file():
                text += f"; its traceback: {details}"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
