"""What shows a run while it goes: the progress bar and the sinks."""

import io

import pytest
from rich.console import Console

from attnjax.train.observers.progress import ProgressBar

pytestmark = pytest.mark.versions

ROW = {"step": 5, "split": "train", "loss": 1.25, "token_accuracy": 0.5, "weight": 10.0}


def _shown(*, terminal: bool, seconds_between_lines: float = 0.0) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=180)
    bar = ProgressBar(console, seconds_between_lines=seconds_between_lines)
    bar.initializing()
    bar.start(0, 20, 392175)
    bar.compiled(8.04, ["blockwise"])
    for step in (5, 10, 20):
        bar.row({**ROW, "step": step, "steps_per_second": None if step == 20 else 7.129})
    bar.row({"step": 20, "split": "validation", "exact_match": 0.75, "loss": 1.5})
    bar.close()
    return console.file.getvalue()


def test_a_terminal_shows_step_loss_accuracy_speed_and_time_left() -> None:
    shown = _shown(terminal=True)
    for part in (
        "20/20",
        "loss 1.250",
        "token accuracy 0.500",
        "steps/s 7.13",
        "left",
        "validation exact match 0.750",
        "validation loss 1.500",
    ):
        assert part in shown


def test_elsewhere_plain_lines_come_now_and_then() -> None:
    begun = [
        "compiling the initial parameters",
        "step 0/20  compiling, 392,175 parameters",
        "compiled in 8.0 s, attention by blockwise",
    ]
    every = _shown(terminal=False).splitlines()
    assert every[:3] == begun
    assert [line.split("  ")[0] for line in every[3:]] == ["step 5/20", "step 10/20", "step 20/20"]
    assert every[3].endswith("steps/s 7.13  2 s left")
    assert "\x1b" not in "".join(every)
    rare = _shown(terminal=False, seconds_between_lines=60.0).splitlines()
    assert [line.split("  ")[0] for line in rare[3:]] == ["step 20/20"]


def test_a_pipe_is_no_terminal_where_colours_are_forced(monkeypatch, capsys) -> None:
    """As in a notebook, whose kernel says so to the commands of its cells."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    bar = ProgressBar()
    bar.initializing()
    bar.close()
    assert capsys.readouterr().err == "compiling the initial parameters\n"


def test_nothing_is_compiled_where_no_step_is_left() -> None:
    console = Console(file=io.StringIO())
    bar = ProgressBar(console)
    bar.start(20, 20, 3)
    bar.close()
    assert console.file.getvalue() == ""
