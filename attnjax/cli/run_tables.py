"""Prints experiments and runs: plain text where it must be quick, rich tables at the end of longer work."""

import logging
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attnjax.experiment.meanings import meanings
from attnjax.experiment.registry import Experiment, default_config
from attnjax.experiment.serialize import encode, field_types, flatten, type_name
from attnjax.experiment.words import changes_text, duration
from attnjax.runs.working_copy import shown
from attnjax.sweeps.registry import known_sweeps

if TYPE_CHECKING:
    from attnjax.runs.compare import RunComparison
    from attnjax.runs.doctor import Diagnosis
    from attnjax.runs.listing import ListedRun
    from attnjax.runs.report.page import RunReport
    from attnjax.runs.reproduce import Reproduction
    from attnjax.runs.store import Run

MAX_RUNS_SIDE_BY_SIDE = 4
"""Runs that a comparison shows side by side; more of them one below the other."""
NOT_LISTED = ("step", "split", "grad_norm", "learning_rate", "weight")
STATE_MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "broken": "[red]broken[/]"}


def experiments(known: Sequence[Experiment]) -> str:
    """One line for each experiment, and below for each sweep of one of them: its name and summary."""
    sweeps = [sweep for sweep in known_sweeps() if sweep.experiment in known]
    width = max((len(definition.name) for definition in [*known, *sweeps]), default=0)
    lines = [f"{definition.name:<{width}}  {definition.summary}" for definition in [*known, *sweeps]]
    heading = ["", "sweeps:"] if sweeps else []
    return "\n".join([*lines[: len(known)], *heading, *lines[len(known) :]])


def description(experiment: Experiment, config: Any, run: "Run", command: str) -> str:
    """An experiment's docstring, its resolved config and its command.

    Each field has its default where it was changed, and below it what it means.
    """
    meaning, types = meanings(type(config)), dict(field_types(type(config)))
    defaults = flatten(encode(default_config(experiment)))
    lines = []
    for name, value in flatten(encode(config)).items():
        changed = "" if value == defaults[name] else f"    (default: {_plain(defaults[name])})"
        lines.append(f"  {name} = {_plain(value)}{changed}")
        text = f"{meaning.get(name, '')} {_choices(types.get(name))}"
        lines += textwrap.wrap(
            text.strip(), 100, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False
        )
    state = "finished" if run.result() is not None else "started" if run.started else "not started"
    return "\n".join(
        [
            experiment.description,
            "",
            f"config ({experiment.place}):",
            *lines,
            "",
            f"command: {command}",
            f"run:     {shown(run.folder)} ({state})",
        ]
    )


def runs(listed: Iterable["ListedRun"]) -> str:
    """A line for each run: name, state, score, age, and last what it changes, which may be long."""
    rows = [("run", "state", "score", "age", "changes from the default")]
    for run in listed:
        changes = "?" if run.changes is None else changes_text(run.changes)
        rows.append((run.name, run.state, run.score, duration(run.seconds), changes))
    return aligned(rows)


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as a table whose lines are never broken, so that its names can be searched for."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def print_result(run: "Run", result: dict[str, Any], *, stored: bool) -> None:
    """The table at the end of a run: scores, samples, and where everything lies."""
    from rich.console import Console

    console = Console()
    if stored:
        console.print("This run is finished; here is its stored result.", style="dim")
    console.print(*_scores(result["metrics"]), sep="\n")
    if result["samples"]:
        console.print(_samples(result["samples"]))
    for label, text in _account(result).items():
        _line(console, label, text)
    _line(console, "run folder", shown(run.folder))
    for figure in result["figures"]:
        _line(console, "picture", shown(run.folder / figure))


def print_run_report(report: "RunReport") -> None:
    """Prints the state of a run, its scores and the files of its report."""
    from rich.console import Console

    from attnjax.runs.report.page import seconds_and_speed

    console, result = Console(), report.result
    changes = "?" if report.changes is None else changes_text(report.changes) or "none"
    step, steps = report.rows[-1]["step"], report.record["config"]["train"]["steps"]
    _line(console, "run", f"{report.run.name}, {'finished' if result else f'at step {step} of {steps}'}")
    _line(console, "changes", changes)
    _line(console, "time", seconds_and_speed(report.times))
    if result:
        console.print(*_scores(result["metrics"]), sep="\n")
    for split in ("train", "validation"):
        row = next((row for row in reversed(report.rows) if row["split"] == split), {})
        numbers = [
            f"{name.replace('_', ' ')} {_plain(x)}" for name, x in row.items() if name not in NOT_LISTED
        ]
        if numbers:
            _line(console, f"last {split}", f"step {row['step']}: {', '.join(numbers)}")
    for file in report.files:
        console.print(str(file), highlight=False, markup=False, soft_wrap=True)


def print_comparison(comparison: "RunComparison") -> None:
    """Prints where the configs of runs differ, and their results."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, rows in (("config", comparison.config), ("result", comparison.metrics)):
        # Many runs have a line each: few terminals are as wide as their columns.
        columns = [("", *(run.name for run in comparison.runs)), *rows]
        lines = list(zip(*columns, strict=True)) if len(comparison.runs) > MAX_RUNS_SIDE_BY_SIDE else columns
        table = Table(*map(_plain, lines[0]), title=title, title_justify="left")
        for line in lines[1:]:
            table.add_row(*map(_plain, line))
        console.print(table if rows else f"{title}: no difference")


def reproduction(outcome: "Reproduction") -> str:
    """The verdict, in words."""
    if outcome.actual is None:
        return f"{outcome.run.name}: stopped before the end, nothing to compare"
    if outcome.same:
        return f"{outcome.run.name} is reproduced bit for bit: parameters {outcome.actual}"
    reasons = "; ".join(outcome.differences) or "nothing that the provenance records is different"
    return (
        f"{outcome.run.name} is NOT reproduced: parameters {outcome.actual[:16]}… "
        f"instead of {outcome.expected[:16]}… ({reasons})"
    )


def print_finding(finding: "Diagnosis") -> None:
    """Prints a finding of the doctor and its remedy."""
    from rich.console import Console
    from rich.markup import escape

    remedy = f"\n{'':>19}→ {escape(finding.remedy)}" if finding.remedy else ""
    Console(soft_wrap=True, highlight=False).print(
        f"{finding.name:<18} {STATE_MARKS[finding.state]}: {escape(finding.text)}{remedy}"
    )


@contextmanager
def warnings_to(notify: Callable[[str], None]) -> Iterator[None]:
    """Each warning that attnjax logs goes to `notify`, once."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notify(f"warning: {record.getMessage()}")

    logger, handler = logging.getLogger("attnjax"), Handler(logging.WARNING)
    logger.addHandler(handler)
    # jax and its friends give the root logger a handler, which would print each warning again.
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


def _account(result: dict[str, Any]) -> dict[str, str]:
    """Returns lines on the training and on which weights were evaluated, by label."""
    seconds = f"{result['training_seconds']:.0f} s of training"
    resumed = f" from step {result['resumed_from']} on" if result["resumed_from"] else ""
    early = result.get("stopped_early")
    count = f"{result['parameters']:,}, " if "parameters" in result else ""
    found = {
        "trained": f"{result['step']} steps, {'stopped early, ' if early else ''}{seconds}{resumed}",
        "parameters": f"{count}sha256 {result['params_hash'][:12]}",
    }
    if best := result.get("best"):
        monitor = next(name for name in best if name != "step")
        other = result["weights"] == "last" and best["step"] != result["step"]
        last = " (--weights best evaluates those)" if other else ""
        text = f"best validation at step {best['step']}: {monitor.replace('_', ' ')} {_plain(best[monitor])}"
        found["weights"] = f"{result['weights']}; {text}{last}"
    return found


def _scores(metrics: dict[str, dict[str, float]]) -> Iterator[Any]:
    """A table for the rows that follow each other with mostly the same columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    groups: list[tuple[list[str], dict[str, dict[str, float]]]] = []
    for label, row in metrics.items():
        columns, rows = groups[-1] if groups else ([], {})
        if not rows or 2 * len({*columns} & {*row}) < len({*columns} | {*row}):
            columns, rows = list(row), {}
            groups.append((columns, rows))
        columns += [name for name in row if name not in columns]
        rows[label] = row
    for number, (columns, rows) in enumerate(groups):
        title = None if number else "evaluation"
        table = Table(
            title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False
        )
        # Names that are cut off may look alike, as ROUGE-1 and ROUGE-2 do: columns are broken, words are not.
        table.add_column(overflow="fold", min_width=max(map(len, " ".join(rows).split()), default=0))
        for name in columns:
            table.add_column(name.replace("_", " "), justify="right", overflow="fold")
        for label, row in rows.items():
            table.add_row(label, *(_plain(row.get(name, "")) for name in columns))
        yield table


def _samples(samples: Iterable[dict[str, str]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    rows = list(samples)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*columns, title="samples", title_justify="left")
    for row in rows:
        cells = {name: Text(textwrap.shorten(row.get(name, ""), 200)) for name in columns}
        if "right" in row:
            cells["right"] = Text("✓ right", "green") if row["right"] == "yes" else Text("✗ wrong", "red")
        table.add_row(*cells.values())
    return table


def _line(console: Any, label: str, text: str) -> None:
    console.print(f"{label}: {text}", soft_wrap=True, highlight=False, markup=False)


def _choices(annotation: Any) -> str:
    """The values that a field may have, where these are a few words."""
    text = type_name(annotation)
    return f"({text})" if "one of" in text else ""


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)
