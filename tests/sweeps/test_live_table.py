"""What people see while a sweep runs."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from attnjax.cli.sweep_tables import LiveTable
from attnjax.sweeps.store import TrialRecord


@pytest.fixture
def shown() -> tuple[LiveTable, io.StringIO]:
    """A table of four trials of five steps, printed as lines."""
    spec: Any = SimpleNamespace(mode="min", metric=None)
    sweep: Any = SimpleNamespace(trials=list, plan_file=Path("none"))
    console = Console(file=io.StringIO(), width=200)
    table = LiveTable(spec, console=console, seconds_between_lines=0.0)
    table.begin(sweep, trials=4, steps=20)
    return table, console.file  # type: ignore[return-value]


def end(table: LiveTable, number: int, status: str, value: float | None) -> None:
    table.computed(5)
    table.ended(SimpleNamespace(number=number, changes={"seed": number}), status, value, "it broke")  # type: ignore[arg-type]


def last(output: io.StringIO) -> str:
    return output.getvalue().splitlines()[-1]


def test_it_counts_trials_and_names_the_best_so_far(shown) -> None:
    table, output = shown
    table.started(2)
    end(table, 0, "done", 0.5)
    end(table, 1, "done", 0.25)
    table.started(2)
    end(table, 2, "done", 0.75)
    end(table, 3, "failed", None)
    assert "trial 3 failed: it broke" in output.getvalue()
    table.close()
    assert last(output).startswith("3 done, 1 failed; best so far 0.25  seed=1; ")
    assert last(output).endswith(" trials/h  0 s left")


def test_it_says_when_a_program_is_compiled(shown) -> None:
    table, output = shown
    assert last(output) == "4 waiting; best so far —; compiling"
    table.started(2)
    table.computed(2)
    assert last(output).endswith(" left")
    end(table, 0, "done", 0.5)
    end(table, 1, "done", 0.25)
    assert last(output).endswith("compiling")
    table.started(2)
    assert last(output).endswith(" left")


def test_one_that_is_stopped_at_once_says_so(shown) -> None:
    table, output = shown
    table.close()
    assert last(output) == "4 waiting; best so far —; no step yet"


def test_what_an_earlier_start_found_and_what_a_search_may_not_try_counts() -> None:
    spec: Any = SimpleNamespace(mode="min", metric=None)
    result = {"validation": {"": 0.1}, "metrics": {}}
    better = {"validation": {"": 0.01}, "metrics": {}}
    before = [
        TrialRecord(0, {"note": "[red]x[/]"}, "done", result, Path()),
        TrialRecord(2, {"note": "was pruned"}, "pruned", better, Path()),
    ]
    sweep: Any = SimpleNamespace(trials=lambda: before, plan_file=Path("none"))
    console = Console(file=io.StringIO(), width=200)
    table = LiveTable(spec, console=console, seconds_between_lines=0.0)
    table.begin(sweep, trials=4, steps=20)
    table.refused(1, "heads must divide [/dim]")
    table.close()
    assert "trial 1 failed: heads must divide [/dim]" in console.file.getvalue()  # type: ignore[attr-defined]
    shown = last(console.file)  # type: ignore[arg-type]
    counts = "1 done, 1 failed, 1 pruned, 1 waiting"
    assert shown == f"{counts}; best so far 0.1  note=[red]x[/]; no step yet"
