"""What `attnjax sweep` and `status` refuse, leave out and print."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from attnjax.runs.store import Run
from attnjax.sweeps import pack_plan
from attnjax.sweeps.store import Sweep
from tests.sweeps.test_run import FAST, GRID, command, only_sweep, run

pytestmark = pytest.mark.usefixtures("on_one_core_in_an_empty_directory")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toyy", "--seeds", "2"], "unknown sweep or experiment 'toyy'; did you mean toy"),
        (["toy"], "what to vary?"),
        (["toy", "--grid", "train.learning_rat=1"], "unknown field 'train.learning_rat'; did you mean"),
        (["toy", "--grid", "train.steps=abc"], "--grid train.steps is 'abc': expected"),
        (["toy", "--grid", "train.steps="], "--grid train.steps is ''"),
        (
            ["toy", "--grid", "train.dropout=0.1,1.5"],
            "1 of 2 trials can't be: train.dropout=1.5: train.dropout is 1.5",
        ),
        (
            ["toy", "--zip", "train.dropout=0.1,0.2", "seed=1"],
            "zipped axes need equally many values: train.dropout has 2, seed has 1",
        ),
        (["toy", "--seeds", "0"], "is not a whole number"),
        (["toy", "--seeds", "2", "--grid", "seed=1,2"], "the sweep sets seed itself"),
        (["toy", "--random", "3"], "say what to draw from"),
        (["toy", "--seeds", "2", "--metric", "x"], "--metric is 'x'"),
        (["slopes", "--seeds", "2"], "--seeds is for an experiment"),
        (["toy", "--seeds", "2", "--devices", "1", "--width", "0"], "is not a whole number"),
        (["toy", "--seeds", "2", "--line.points", "gone.txt"], "gone.txt"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(arguments, message, capsys) -> None:
    assert run("sweep", *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("attnjax: error: ")
    assert message in error
    assert not Path("runs").exists()


def test_combinations_that_cannot_be_are_left_out_on_demand(capsys) -> None:
    assert run("sweep", "toy", "--grid", "train.dropout=0.1,1.5", "--skip-invalid", *FAST) == 0
    assert "left out: train.dropout=1.5: train.dropout is 1.5" in capsys.readouterr().err
    assert len(only_sweep().trials()) == 1


def test_a_dry_run_prints_trials_shapes_and_an_estimate_and_writes_nothing(capsys) -> None:
    assert run(*GRID, *FAST, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "12 trials" in shown
    assert "2 shape(s)" in shown
    assert "of training" in shown
    assert not Path("runs").exists()


def test_a_few_of_many_shapes_stand_for_all_in_an_estimate(monkeypatch, capsys) -> None:
    traced = []
    operations = pack_plan._operations
    monkeypatch.setattr(pack_plan, "_operations", lambda *args: traced.append(args) or operations(*args))
    monkeypatch.setattr(pack_plan, "MAX_COUNTED_SHAPES", 2)
    monkeypatch.setattr(pack_plan, "step_seconds", lambda *args, **options: 100.0)
    grid = ("sweep", "toy", "--grid", "train.batch_size=2,3,4,5", "--seeds", "2", *FAST, "--dry-run")
    assert run(*grid, "--train.steps", "6") == 0
    shown = capsys.readouterr()
    assert "counting the operations of 2 of 4 shapes" in shown.err
    assert len(traced) == 3  # The two, and the one that was measured.
    # Four packs of six steps; larger batches than the measured one take a little longer.
    minutes = float(re.search(r"about ([\d.]+) min of training", shown.out)[1])
    assert 4 * 6 * 100 / 60 <= minutes < 2 * 4 * 6 * 100 / 60


def test_the_time_left_counts_the_steps_of_each_trial(capsys) -> None:
    assert run("sweep", "toy", "--grid", "train.steps=4,6", *FAST, "--train.checkpoint_every", "2") == 0
    *_, last = [line for line in capsys.readouterr().err.splitlines() if "best so far" in line]
    assert last.startswith("2 done")
    assert last.endswith(" 0 s left")


def test_a_sweep_goes_on_as_it_began(capsys) -> None:
    assert run("sweep", "toy", "--seeds", "3", *FAST, "--train.steps", "5") == 0
    assert json.loads((only_sweep().folder / "plan.json").read_text())["width"] == 2
    (only_sweep().folder / "trials" / "0001" / "result.json").unlink()
    assert run("resume", "toy", "--width", "3") == 2
    assert "--width is 3: toy-" in capsys.readouterr().err
    assert run("resume", "toy", *FAST) == 0
    assert [trial.status for trial in only_sweep().trials()] == ["done"] * 3


def test_the_folder_of_another_sweep_is_left_alone(capsys: pytest.CaptureFixture) -> None:
    assert run("sweep", "toy", "--grid", "line.slope=1,2", "--runs", "mine", *FAST) == 0
    assert run("sweep", "toy", "--grid", "line.slope=3,4", "--runs", "other", *FAST) == 0
    kept = only_sweep("mine").folder
    shutil.rmtree(kept)
    only_sweep("other").folder.rename(kept)
    before = {file: file.stat().st_mtime_ns for file in kept.rglob("*")}
    capsys.readouterr()
    assert run("sweep", "toy", "--grid", "line.slope=1,2", "--runs", "mine", *FAST) == 2
    out, err = capsys.readouterr()
    assert f"{kept} belongs to another sweep: move it away" in err
    assert err.count("\n") == 1
    assert not out
    assert {file: file.stat().st_mtime_ns for file in kept.rglob("*")} == before


def test_a_folder_that_cannot_be_written_is_named(capsys) -> None:
    Path("runs").write_text("")
    assert run("sweep", "toy", "--seeds", "2", *FAST) == 2
    assert "runs is not a folder" in capsys.readouterr().err


def test_the_measure_is_checked_and_can_be_corrected(capsys: pytest.CaptureFixture) -> None:
    grid = ["sweep", "toy", "--grid", "line.slope=1,2", *FAST, "--mode", "min", "--metric"]
    assert run(*grid, "all points/eror") == 2
    assert "--metric is 'all points/eror': the evaluation has all points/error" in capsys.readouterr().err
    assert run(*grid, "all points/error") == 0
    assert only_sweep().record()["metric"] == "all points/error"
    assert run(*grid[:-3]) == 0
    assert only_sweep().record()["metric"] is None


def test_data_that_cannot_be_is_named_with_its_trials_and_left_out(capsys: pytest.CaptureFixture) -> None:
    Path("good").write_text("1\n2\n")
    Path("bad").write_text("one\n")
    grid = ["sweep", "toy", "--grid", "line.points=good,bad", "--seeds", "2", *FAST]
    assert run(*grid) == 2
    error = capsys.readouterr().err
    assert "2 of 4 trials can't be: line.points=" in error
    assert "'one'" in error
    assert not Path("runs").exists()
    assert run(*grid, "--skip-invalid") == 0
    assert [trial.number for trial in only_sweep().trials()] == [0, 1]


def test_status_tells_what_is_stopped_and_every_sweep_that_can_be_read(capsys: pytest.CaptureFixture) -> None:
    env = {**os.environ, "TOY_TERMINATED_IN_STEP": "7"}
    hunt = "sweep toy --search random --trials 9 --space train.learning_rate=0.1..0.2".split()
    assert subprocess.run(command(*hunt, *FAST), env=env, capture_output=True, check=False).returncode == 143
    damaged = Path("runs", "sweeps", "damaged-1")
    damaged.mkdir()
    (damaged / "sweep.json").write_text("{")
    assert run("status") == 2
    shown = capsys.readouterr()
    assert "2 stopped" in shown.out
    assert "7 waiting" in shown.out
    assert "`attnjax resume" in shown.out
    assert "damaged-1" in shown.err
    with Run(only_sweep_named("toy").folder).lock():
        run("status", "toy")
    assert "2 running" in capsys.readouterr().out


def only_sweep_named(name: str) -> Sweep:
    (folder,) = Path("runs", "sweeps").glob(f"{name}-*")
    return Sweep(folder)
