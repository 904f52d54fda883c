"""What shows a run while it goes: the progress bar and the sinks."""

import io
import sys
import types

import pytest
from rich.console import Console

from attnjax.config import InputError
from attnjax.train import sinks
from attnjax.train.progress import ProgressBar

ROW = {"step": 5, "split": "train", "loss": 1.25, "token_accuracy": 0.5, "tokens": 10.0}


def _shown(*, terminal: bool, seconds_between_lines: float = 0.0) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160)
    bar = ProgressBar(console, seconds_between_lines=seconds_between_lines)
    bar.start(0, 20)
    for step in (5, 10, 20):
        bar.row({**ROW, "step": step})
    bar.row({"step": 20, "split": "validation", "exact_match": 0.75})
    bar.close()
    return console.file.getvalue()


def test_a_terminal_shows_step_loss_accuracy_speed_and_time_left() -> None:
    shown = _shown(terminal=True)
    for part in (
        "20/20",
        "loss 1.250",
        "token accuracy 0.500",
        "steps/s",
        "left",
        "validation exact match 0.750",
    ):
        assert part in shown


def test_elsewhere_plain_lines_come_now_and_then() -> None:
    every = _shown(terminal=False).splitlines()
    assert [line.split("  ")[0] for line in every] == ["step 5/20", "step 10/20", "step 20/20"]
    assert "\x1b" not in "".join(every)
    rare = _shown(terminal=False, seconds_between_lines=60.0).splitlines()
    assert [line.split("  ")[0] for line in rare] == ["step 20/20"]


@pytest.mark.parametrize(
    ("package", "make"),
    [
        ("tensorboardX", lambda: sinks.TensorBoardSink("somewhere")),
        ("wandb", lambda: sinks.WandbSink("run")),
        ("mlflow", lambda: sinks.MLflowSink("run")),
    ],
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, package: str, make) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"needs the package {package}: pip install {package}"):
        make()


def test_a_sink_gets_the_numbers_by_split_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = []
    fake = types.SimpleNamespace(
        start_run=lambda **_: None,
        log_metrics=lambda numbers, step: logged.append((step, numbers)),
        end_run=lambda: logged.append("end"),
    )
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    sink = sinks.MLflowSink("run")
    sink.start(0, 20)
    sink.row(ROW)
    sink.close()
    numbers = {"train/loss": 1.25, "train/token_accuracy": 0.5, "train/tokens": 10.0}
    assert logged == [(5, numbers), "end"]
