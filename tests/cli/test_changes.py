"""What changes between two starts is noticed: one's code, the fields of a config, versions, data files."""

import linecache
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from attnjax.config import InputError
from attnjax.experiment import registry
from attnjax.runs import devices
from attnjax.runs.start import Outcome, run
from attnjax.runs.store import Run
from attnjax.sweeps.store import Sweep
from tests.toy_runs import TOY, edit, result

HELPER = "_my_task"
SWEEP = "--grid train.learning_rate=0.1,0.2 --batching map --width 2 --devices 1".split()
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own: an experiment and the module that it imports."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "my.py").write_text(
        TOY.read_text().partition("@sweep(")[0].replace("_line_task", HELPER) + POINTS
    )
    (folder / f"{HELPER}.py").write_text((TOY.parent / "_line_task.py").read_text())
    return folder


POINTS = """

def _points(line):
    if line.points is None:
        return [line.slope * x for x in range(8)]
    return [float(text) for text in line.points.read_text().split()]
"""


@pytest.fixture
def my(attnjax: Command, mine: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line on one device, each time as a new process would read the experiment."""
    monkeypatch.setattr(devices, "cores", lambda: 1)

    def start(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(registry, "_REGISTRY", {})
        monkeypatch.setattr(registry, "_LOADED", set())
        sys.modules.pop(HELPER, None)
        return attnjax(*arguments, "--experiments", str(mine))

    return start


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def stopped(my: Command, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Path:
    """A run that was stopped in its middle."""
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_STEP", "7")
        my("run", "my", "--devices", "1", *arguments)
    return only("runs/my-*")


def only(pattern: str) -> Path:
    (found,) = Path().glob(pattern)
    return found


def refused(outcome: tuple[int, str, str], *expected: str) -> None:
    code, out, err = outcome
    assert (code, out, err.count("\n")) == (2, "", 1), err
    for text in expected:
        assert text in err


EDITS = {"my.py": ("range(8)", "range(9)"), f"{HELPER}.py": ("error**2", "error**4")}


@pytest.mark.parametrize("name", EDITS)
def test_a_run_whose_code_has_changed_stops_unless_told(name, my, mine, monkeypatch):
    folder = stopped(my, monkeypatch)
    change(mine / name, *EDITS[name])
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    refused(my("run", "my"), f"{mine / name} has changed", "--accept-changed-code", "--fresh")
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before

    code, _, err = my("run", "my", "--accept-changed-code")
    assert code == 0
    assert f"with changed code: {mine / name} has changed" in err
    assert result(folder)["resumed_from"] > 0
    assert my("run", "my")[0] == 0  # What was accepted is what the next start compares with.
    assert f"{mine / name} has changed" in my("reproduce", "my")[2]


def test_a_finished_run_of_other_code_is_not_shown_as_if_it_were_of_this(my, mine):
    my("run", "my")
    old = result(only("runs/my-*"))
    change(mine / f"{HELPER}.py", '"""The toy', '"""What is said of the toy')
    change(mine / f"{HELPER}.py", "        rows =", "        # A comment.\n        rows =")
    assert my("run", "my")[0] == 0
    change(mine / f"{HELPER}.py", *EDITS[f"{HELPER}.py"])
    refused(my("run", "my"), f"{HELPER}.py has changed")
    code, out, _ = my("run", "my", "--accept-changed-code")
    assert (code, "This run is finished" in out) == (0, True)

    code, out, err = my("run", "my", "--fresh")
    assert (code, "This run is finished" in out) == (0, False)
    kept = only("runs/my-*-old-1")
    assert f"the run before is kept as {kept}" in err
    assert result(kept) == old
    folder = kept.with_name(kept.name.removesuffix("-old-1"))
    assert result(folder)["params_hash"] != old["params_hash"]
    assert result(folder)["resumed_from"] == 0
    assert my("run", "my", "--fresh")[0] == 0
    assert only("runs/my-*-old-2").is_dir()


def test_a_sweep_whose_code_has_changed_stops_unless_told(my, mine):
    assert my("sweep", "my", *SWEEP)[0] == 0
    sweep = Sweep(only("runs/sweeps/my-*"))
    old = [trial.result for trial in sweep.trials()]
    change(mine / f"{HELPER}.py", *EDITS[f"{HELPER}.py"])
    sweep.trial(1).result_file.unlink()
    for command in (["sweep", "my", *SWEEP], ["resume", "my"]):
        refused(my(*command), f"{HELPER}.py has changed since the last start of {sweep.name}")
    assert my("resume", "my", "--accept-changed-code")[0] == 0
    new = [trial.result for trial in sweep.trials()]
    assert (new[0] == old[0], new[1] == old[1]) == (True, False)

    code, _, err = my("sweep", "my", *SWEEP, "--fresh")
    assert code == 0
    assert f"the sweep before is kept as {only('runs/sweeps/my-*-old-1')}" in err
    assert [trial.result for trial in sweep.trials()] == [sweep.result(0), new[1]]
    assert sweep.result(0) != old[0]


def test_trials_that_failed_run_again_when_that_is_asked_for_and_leave_why_they_had(my, mine):
    raises = "        if self.y[-1] == 14: raise RuntimeError('two')\n        rows ="  # A slope of 2.
    change(mine / f"{HELPER}.py", "        rows =", raises)
    slopes = ["--grid", "line.slope=1,2,3", *SWEEP[2:]]
    code, out, _ = my("sweep", "my", *slopes)
    sweep = Sweep(only("runs/sweeps/my-*"))
    hint = f"`attnjax resume {sweep.name} --retry-failed` runs what failed once more"
    assert (code, hint in out, hint in my("status")[1]) == (0, True, True)
    old = {file: file.read_bytes() for file in sweep.folder.glob("trials/000[02]/*.json*")}
    change(mine / f"{HELPER}.py", raises, "        rows =")
    refused(my("resume", "my", "--retry-failed"), f"{HELPER}.py has changed", "--accept-changed-code")
    assert my("resume", "my", "--accept-changed-code")[0] == 0
    assert sweep.result(1)["status"] == "failed"

    code, out, err = my("sweep", "my", *slopes, "--retry-failed", "--accept-changed-code")
    assert (code, [trial.status for trial in sweep.trials()], hint in out) == (0, ["done"] * 3, False)
    kept = sweep.trial(1).folder / "failed-1"
    assert f"trial 1 runs again; what is left of its failure: {kept}" in err
    assert result(kept)["reason"].startswith("RuntimeError in batch: two")
    assert "RuntimeError: two" in (kept / "error.txt").read_text()
    assert sorted(file.name for file in kept.parent.iterdir() if "error" in file.name) == []
    assert {file: file.read_bytes() for file in old} == old
    assert my("resume", "my", "--retry-failed")[0] == 0  # Nothing has failed: nothing runs.
    assert {file: file.read_bytes() for file in old} == old
    refused(my("sweep", "my", *slopes, "--retry-failed", "--fresh"), "expected one of them")


def test_other_versions_and_devices_than_at_the_start_before_are_said_in_one_line(my, monkeypatch):
    folder = stopped(my, monkeypatch)
    edit(folder / "provenance.json", "starts", 0, "versions", "jax", value="0.1")
    edit(folder / "provenance.json", "starts", 0, "devices", value=64)
    code, _, err = my("run", "my", "--devices", "1")
    (line,) = [line for line in err.splitlines() if "its bits may differ" in line]
    assert code == 0
    for text in ("devices was 64 and is 1", "jax was 0.1 and is", f"{folder.name} goes on"):
        assert text in line


FIELD = ("    slope: float = 2.0\n", "    slope: float = 2.0\n    shift: float = 0.0\n")
USE = ("[line.slope * x for", "[line.shift + line.slope * x for")


def test_a_run_begun_before_a_field_existed_goes_on(my, mine, monkeypatch):
    folder = stopped(my, monkeypatch)
    change(mine / "my.py", *FIELD)
    change(mine / "my.py", *USE)
    code, _, err = my("run", "my", "--accept-changed-code")
    assert code == 0, err
    assert result(folder)["resumed_from"] > 0
    after = result(folder)["params_hash"]
    assert Run(folder).record()["config"]["line"]["shift"] == 0.0
    assert f"{folder} (finished)" in my("show", "my")[1]
    assert my("reproduce", "my")[:2] == (0, f"{folder.name} is reproduced bit for bit: parameters {after}\n")
    assert my("run", "my", "--line.shift", "1")[0] == 0
    assert len(list(Path("runs").iterdir())) == 2
    # Another default is another run: the one before keeps the value that it was trained with.
    change(mine / "my.py", "shift: float = 0.0", "shift: float = 2.0")
    assert "This run is finished" not in my("run", "my")[1]
    assert "This run is finished" in my("run", "my", "--line.shift", "0", "--accept-changed-code")[1]


def test_a_sweep_begun_before_a_field_existed_goes_on(my, mine):
    assert my("sweep", "my", *SWEEP)[0] == 0
    sweep = Sweep(only("runs/sweeps/my-*"))
    sweep.trial(1).result_file.unlink()
    change(mine / "my.py", *FIELD)
    change(mine / "my.py", *USE)
    code, _, err = my("resume", "my", "--accept-changed-code")
    assert code == 0, err
    assert my("sweep", "my", *SWEEP)[0] == 0
    assert only("runs/sweeps/my-*") == sweep.folder
    assert sweep.record()["config"]["line"]["shift"] == 0.0


def test_what_differs_is_named(my, mine):
    Path("points.txt").write_text("1\n2\n3\n")
    assert my("run", "my", "--line.points", "points.txt")[0] == 0
    assert my("sweep", "my", *SWEEP, "--line.points", "points.txt")[0] == 0
    Path("points.txt").write_text("1\n2\n4\n")
    for command in ("reproduce", "resume"):
        refused(my(command, "my"), f"line.points ({Path('points.txt').absolute()}) has changed since my-")
    Path("points.txt").write_text("1\n2\n3\n")
    edit(file := only("runs/my-*/config.json"), "config", "seed", value=7)
    refused(my("reproduce", "my"), f"{file} was edited")
    change(mine / "my.py", "    kind: Literal", "    sort: Literal")
    refused(my("reproduce", "my"), f"{file} does not fit {mine / 'my.py'}:", "line.kind is not a field of")


CELL = """
from dataclasses import dataclass
from attnjax.experiment.registry import experiment
from attnjax.train.config import TrainConfig

@experiment
@dataclass(frozen=True)
class Mine:
    'Fit a line.'
    train: TrainConfig = TrainConfig(steps=10, batch_size=4, log_every=5, warmup_steps=0, checkpoint_every=5)
    seed: int = 0
    def task(self, folder=None):
        from _my_task import LineTask
        return LineTask([1.0, 2.0, 3.0], 4)
"""


def test_an_experiment_in_a_notebook_runs_and_its_cell_can_be_run_again(my, mine, monkeypatch):
    """A cell's module has no file; its source is where Python looks for the lines of a traceback."""
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(registry, "_REGISTRY", {})
    sys.path.append(str(mine))

    def run_cell(number: int, text: str) -> Outcome:
        name = f"/nowhere/ipykernel_1/{number}.py"
        monkeypatch.setitem(linecache.cache, name, (len(text), None, text.splitlines(keepends=True), name))
        exec(compile(text, name, "exec"), vars(main))
        return run(registry.find("mine"), main.Mine(), runs=Path("runs"), devices=1, notify=print)

    assert run_cell(1, CELL).result["step"] == 10
    assert run_cell(2, CELL + "# Again.\n").stored
    with pytest.raises(InputError, match=r"/nowhere/ipykernel_1/3.py has changed since"):
        run_cell(3, CELL.replace("1.0", "1.5"))
