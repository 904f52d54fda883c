"""A trial whose own code raises fails alone: its reason in the table, its traceback in its folder."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.sweeps.test_run import FAST, only_sweep, run, table
from tests.toy_runs import TOY

pytestmark = pytest.mark.usefixtures("on_one_core_in_an_empty_directory")

SLOPES = ["--grid", "line.slope=1,2,3"]
PLACES = {"__init__": 0, "loss": 0, "batch": 0, "validate": 10, "evaluate": 20, "save": 20}
"""The task's methods, and the step at which a trial ends whose own one raises."""


@pytest.fixture
def line_task(monkeypatch: pytest.MonkeyPatch) -> type:
    """The class of the toy's task, in this process."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(TOY.parent)])
    return importlib.import_module("_line_task").LineTask


@pytest.fixture
def broken(line_task: type, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a line of code in front of one of the task's methods."""

    def put(method: str, line: str) -> None:
        whole = getattr(line_task, method)

        def instead(self, *arguments, **named):
            exec(line, {"self": self, "arguments": arguments})
            return whole(self, *arguments, **named)

        monkeypatch.setattr(line_task, method, instead)

    return put


def test_each_fails_alone_and_no_later_start_ends_there(broken, capsys) -> None:
    """One trial for each method that raises, between two that do not."""
    for number, method in enumerate(PLACES, 1):
        points = "arguments[0]" if method == "__init__" else "self.y"
        slope = number + 1
        broken(method, f"if {points}[-1] == {7 * slope}: raise RuntimeError('{slope} is too\\nmuch')")
    slopes = ["--grid", f"line.slope={','.join(str(slope) for slope in range(1, 9))}"]
    assert run("sweep", "toy", *slopes, *FAST, "--keep-params", "all") == 0
    first, *failed, last = only_sweep().trials()
    assert (first.status, last.status) == ("done", "done")
    out = capsys.readouterr().out
    for trial, (method, step) in zip(failed, PLACES.items(), strict=True):
        part, slope = "task" if method == "__init__" else method, trial.number + 1
        assert trial.status == "failed"
        assert trial.result["reason"].startswith(f"RuntimeError in {part}: {slope} is too")
        assert trial.result["step"] == step
        assert f"{slope} is too" in (trial.folder / "error.txt").read_text()
        assert f"trial {trial.number} (slope={slope}) failed: RuntimeError in {part}" in out
    assert run("resume", "toy") == 0
    assert run("report", "toy") == 0
    assert "RuntimeError" in capsys.readouterr().out


@pytest.mark.parametrize(("method", "step"), [("batch", 10), ("validate", 10)])
def test_lanes_beside_one_that_fails_in_the_middle_go_on(method, step, broken) -> None:
    rates = ["--grid", "train.learning_rate=0.1,0.2,0.4", *FAST]
    assert run("sweep", "toy", *rates, "--runs", "whole") == 0
    lines = {
        "batch": "if arguments[0] == 12: raise OSError('gone')",
        "validate": "if arguments[0]['slope'] > 1.2: raise OSError('gone')",
    }
    broken(method, lines[method])
    assert run("sweep", "toy", *rates) == 0
    trials = only_sweep().trials()
    failed = [trial for trial in trials if trial.status == "failed"]
    assert failed
    for trial in failed:
        assert (trial.result["step"], trial.result["reason"][:21]) == (
            step,
            f"OSError in {method}: gone"[:21],
        )
    whole = only_sweep("whole").trials()
    assert [t.result for t in trials if t.status == "done"] == [
        t.result for t, own in zip(whole, trials, strict=True) if own.status == "done"
    ]


def test_one_that_failed_before_a_checkpoint_runs_again_in_the_same_bits(
    broken, line_task, monkeypatch
) -> None:
    """It is one of those that had begun, and in none of the lanes that the pack goes on from."""
    rates = ["--grid", "train.learning_rate=0.1,0.4,0.2", *FAST]
    assert run("sweep", "toy", *rates, "--runs", "whole") == 0
    whole = line_task.validate
    broken(
        "validate",
        "import os, signal\n"
        "if arguments[0]['slope'] > 3: raise OSError('gone')\n"
        "if 1.5 < arguments[0]['slope'] < 2: os.kill(os.getpid(), signal.SIGTERM)",
    )
    assert run("sweep", "toy", *rates) == 143
    assert [trial.status for trial in only_sweep().trials()] == ["done", "failed", "running"]
    monkeypatch.setattr(line_task, "validate", whole)
    assert run("resume", "toy", "--retry-failed") == 0
    assert table(only_sweep()) == table(only_sweep("whole"))


def test_a_chunk_that_fails_takes_its_pack_along_and_no_other(broken, monkeypatch) -> None:
    from attnjax.train.packs.program import PackProgram

    whole = PackProgram.host_batches

    def longer(self, span):
        found = whole(self, span)
        if self.config.batch_size == 6 and span.start == 10:
            found["x"] = found["x"][:, :3]
        return found

    monkeypatch.setattr(PackProgram, "host_batches", longer)
    assert run("sweep", "toy", "--grid", "train.batch_size=6,12", "--seeds", "3", *FAST) == 0
    trials = only_sweep().trials()
    assert [trial.status for trial in trials] == ["failed"] * 3 + ["done"] * 3
    assert "in training" in trials[0].result["reason"]
    assert [trial.result["step"] for trial in trials[:3]] == [5, 5, 0]


def test_a_search_learns_that_a_trial_failed_and_goes_on(broken, capsys) -> None:
    broken("evaluate", "if self.y[-1] == 14: raise RuntimeError('two')")
    search = "sweep toy --search tpe --trials 8 --space line.slope=1,2 train.learning_rate=0.1..0.4".split()
    assert run(*search, *FAST) == 0
    assert {t.status: t.changes["line.slope"] for t in only_sweep().trials()} == {"done": 1.0, "failed": 2.0}
    assert run("resume", "toy", "--retry-failed") == 2
    assert "is a search, and what it asked for rests on which" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "line", "code"),
    [
        ("evaluate", "raise OSError(28, 'No space left on device')", 2),
        ("batch", "raise OSError(28, 'No space left on device')", 2),
        ("evaluate", "raise KeyboardInterrupt", 130),
    ],
)
def test_a_full_disk_and_ctrl_c_are_no_failure_of_a_trial(method, line, code, broken, monkeypatch) -> None:
    with monkeypatch.context():
        broken(method, line)
        assert run("sweep", "toy", *SLOPES, *FAST) == code
    if Path("runs").exists():
        assert not list(Path("runs").glob("sweeps/*/trials/*/result.json"))


def loss_without_weight(self, params, batch, **_):
    return params["slope"], {"loss": params["slope"]}


WRONG = {
    "monitor": (None, "LineTask.monitor is None: expected a pair such as"),
    "loss": (loss_without_weight, "loss returns metrics 'loss': expected 'weight' too"),
    "init": (None, "LineTask has no method init"),
    "batch": (
        lambda self, step: {"x": np.zeros(3), "y": np.zeros(4)},
        "batch returns x (3,), y (4,): expected",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_task_that_training_cannot_use_is_one_line_before_anything_is_written(
    case, line_task, monkeypatch, capsys
) -> None:
    value, message = WRONG[case]
    monkeypatch.setattr(line_task, case, value)
    for arguments in (["run", "toy"], ["sweep", "toy", *SLOPES, *FAST]):
        assert run(*arguments) == 2
        error = capsys.readouterr().err
        assert message in error.splitlines()[-1]
        assert "Traceback" not in error
        assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"error": np.zeros(8)}, "validate returns an array of shape (8,) as 'error'"),
        ({"loss": 0.0}, "validate returns 'loss': expected 'error' too"),
    ],
)
def test_a_validation_that_training_cannot_use_is_one_line(
    values, message, line_task, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(line_task, "validate", lambda self, params: values)
    assert run("run", "toy") == 2
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error
    assert run("sweep", "toy", *SLOPES, *FAST) == 0
    assert all(message in trial.result["reason"] for trial in only_sweep().trials())


def test_numbers_of_jax_are_numbers(line_task, monkeypatch) -> None:
    import jax.numpy as jnp

    monkeypatch.setattr(line_task, "validate", lambda self, params: {"error": jnp.abs(params["slope"] - 2)})
    assert run("run", "toy") == 0
    assert run("sweep", "toy", *SLOPES, *FAST) == 0
    (folder,) = Path("runs").glob("toy-*")
    assert isinstance(
        json.loads((folder / "result.json").read_text())["metrics"]["all points"]["error"], float
    )
    assert {trial.status for trial in only_sweep().trials()} == {"done"}


def test_code_of_ones_own_that_raises_in_a_run_shows_its_traceback_and_can_be_mended(
    broken, monkeypatch
) -> None:
    with monkeypatch.context():
        broken("loss", "raise RuntimeError('why')")
        with pytest.raises(RuntimeError, match="why"):
            run("run", "toy")
    assert not Path("runs").exists()
