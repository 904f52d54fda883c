"""Sweeps end in the same table however often they are stopped; bad input is refused and nothing written."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from attnjax.cli import main
from attnjax.experiment import registry
from attnjax.runs.store import Run
from attnjax.sweeps.store import Sweep
from tests.daily import daily
from tests.toy_runs import TOY, WHERE, held, result

GRID = ["sweep", "toy", "--grid", "train.learning_rate=0.1,0.2,0.4", "line.slope=1,2", "--seeds", "2"]
FAST = ["--batching", "map", "--width", "2", "--devices", "1"]


pytestmark = pytest.mark.usefixtures("on_one_core_in_an_empty_directory")


def run(*arguments: str) -> int:
    return main([*arguments, *WHERE])


def only_sweep(runs: str = "runs") -> Sweep:
    (folder,) = Path(runs, "sweeps").iterdir()
    return Sweep(folder)


def table(sweep: Sweep) -> list:
    """All that a sweep found, and the bytes of every trial's metrics."""
    return [(t.number, t.changes, t.result, metrics(t.folder)) for t in sweep.trials()]


def metrics(folder: Path) -> bytes:
    """Of a trial that cannot be there are none."""
    file = folder / "metrics.jsonl"
    return file.read_bytes() if file.exists() else b""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "attnjax", *arguments, *WHERE]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list:
    runs = tmp_path_factory.mktemp("whole")
    assert main([*GRID, *FAST, *WHERE, "--runs", str(runs)]) == 0
    return table(only_sweep(str(runs)))


def test_a_grid_has_a_trial_for_each_combination_and_seed(whole: list) -> None:
    assert [changes for _, changes, *_ in whole][:3] == [
        {"train.learning_rate": 0.1, "line.slope": 1.0, "seed": 0},
        {"train.learning_rate": 0.1, "line.slope": 1.0, "seed": 1},
        {"train.learning_rate": 0.1, "line.slope": 2.0, "seed": 0},
    ]
    assert len(whole) == 12
    assert {result["status"] for _, _, result, _ in whole} == {"done"}
    errors = {c["train.learning_rate"]: r["metrics"]["all points"]["error"] for _, c, r, _ in whole}
    assert errors[0.4] < errors[0.1]


def test_a_trial_is_the_run_of_its_config(whole: list) -> None:
    options = ["--train.learning_rate", "0.2", "--line.slope", "2", "--seed", "1", "--devices", "1"]
    assert run("run", "toy", *options) == 0
    (folder,) = Path("runs").iterdir()
    alone = json.loads((folder / "result.json").read_text())
    same = [result for _, c, result, _ in whole if list(c.values()) == [0.2, 2.0, 1]]
    assert [result["params_hash"] for result in same] == [alone["params_hash"]]
    assert same[0]["metrics"] == alone["metrics"]


def written() -> int:
    """Bytes of all that the trials have written so far."""
    return sum(file.stat().st_size for file in Path("runs").glob("sweeps/*/trials/*/[!.]*.json*"))


@pytest.mark.parametrize("kills", daily([1, 3], [1]))
def test_a_sweep_that_is_killed_ends_in_the_same_table(whole: list, kills: int) -> None:
    """Each start gets on a little further: it is killed some time after its first new line."""
    env = {**os.environ, "TOY_SECONDS_PER_STEP": "0.02"}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for kill in range(kills):
        before = written()
        process = subprocess.Popen(command(*GRID, *FAST), env=env, **pipes)
        while process.poll() is None and written() == before:
            time.sleep(0.01)
        time.sleep(0.26 * kill)
        process.kill()
        assert process.wait() in (0, -signal.SIGKILL)
    assert run(*GRID, *FAST) == 0
    assert table(only_sweep()) == whole


def run_until_sigterm(*arguments: str) -> None:
    """The signal comes in step 7."""
    with pytest.MonkeyPatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_STEP", "7")
        assert run(*arguments) == 143


def test_sigterm_stops_cleanly_and_resume_goes_on(whole: list, capsys: pytest.CaptureFixture) -> None:
    run_until_sigterm(*GRID, *FAST)
    assert "stopped and saved" in capsys.readouterr().err
    assert run("status") == 0
    assert "12 waiting" not in capsys.readouterr().out
    assert run("resume", "toy") == 0
    assert table(only_sweep()) == whole


def test_a_trial_that_diverges_is_listed_with_its_reason(capsys: pytest.CaptureFixture) -> None:
    assert run("sweep", "toy", "--grid", "train.learning_rate=0.1,1e30", *FAST) == 0
    assert "trial 1 (learning_rate=1e+30) failed: training diverged in step" in capsys.readouterr().out
    assert [trial.status for trial in only_sweep().trials()] == ["done", "failed"]


def test_a_named_sweep_runs_on_its_base_and_a_second_start_runs_nothing(capsys) -> None:
    assert run("sweep", "slopes", *FAST) == 0
    sweep = only_sweep()
    said = capsys.readouterr()
    begun = f"attnjax: {sweep.name} in {sweep.folder}: 6 trials in packs of 2 (map) on 1 cpu device(s)"
    assert said.err.splitlines()[:2] == [begun, "6 waiting; best so far —; compiling"]
    folder, best, report = said.out.splitlines()[-3:]
    assert folder == f"folder: {sweep.folder}"
    assert best.startswith("best:   trial 2 (slope=1 learning_rate=0.4), all points/error ")
    assert best.endswith(f": {sweep.trial(2).folder}")
    assert report == f"report: attnjax report {sweep.name}"
    assert [trial.result["step"] for trial in sweep.trials()] == [10] * 6
    assert (sweep.record()["metric"], sweep.record()["mode"]) == ("all points/error", "min")
    before = table(sweep)
    starts = len(json.loads((sweep.folder / "provenance.json").read_text())["starts"])
    assert run("sweep", "slopes", *FAST) == 0
    assert table(sweep) == before
    assert len(json.loads((sweep.folder / "provenance.json").read_text())["starts"]) == starts == 1


@pytest.mark.parametrize(("keep", "kept"), [((), [2]), (("--keep-params", "all"), [0, 1, 2])])
def test_final_states_are_kept_as_those_of_runs(keep: tuple, kept: list[int], capsys) -> None:
    from attnjax.train.hashing import params_hash
    from attnjax.train.loop import load_params

    rates = ["--grid", "train.learning_rate=0.1,0.2,0.4", "--metric", "all points/error", "--mode", "min"]
    assert run("sweep", "toy", *rates, *FAST, *keep) == 0
    folders = [trial.folder for trial in only_sweep().trials()]
    assert [i for i, folder in enumerate(folders) if (folder / "checkpoints").is_dir()] == kept
    for i in kept:
        _, config = Run(folders[i]).load()
        params = load_params(config.task(folders[i]), config.train, folder=folders[i])
        assert params_hash(params) == only_sweep().result(i)["params_hash"]
    assert run("compare", str(folders[0]), str(folders[2])) == 0
    assert "all points: error" in capsys.readouterr().out
    assert run("reproduce", str(folders[0])) == 2
    assert "0000 is a trial of a sweep: expected a run" in capsys.readouterr().err


def test_the_best_weights_of_a_trial_are_those_of_a_run_of_its_config(capsys) -> None:
    from attnjax.train.hashing import params_hash
    from attnjax.train.loop import load_params

    rates = ["--grid", "train.learning_rate=0.1,4", "--keep-params", "all", "--weights", "best"]
    later, often = ["--metric", "all points/error", "--mode", "min"], ["--train.checkpoint_every", "5"]
    assert run("sweep", "toy", *rates, *often, *FAST, *later) == 0
    trial = only_sweep().trial(1)
    assert run("run", "toy", "--train.learning_rate", "4", *often, "--weights", "best", "--devices", "1") == 0
    (alone,) = (folder for folder in Path("runs").iterdir() if folder.name != "sweeps")
    expected, got = result(alone), only_sweep().result(1)
    assert got["best"]["step"] < got["step"], "the last weights are others"
    for name in ("weights", "best", "metrics", "params_hash"):
        assert got[name] == expected[name], name
    _, config = Run(alone).load()
    for best in (True, False):
        one, other = (
            load_params(config.task(folder), config.train, folder=folder, best=best)
            for folder in (alone, trial.folder)
        )
        assert params_hash(one) == params_hash(other)
    capsys.readouterr()
    assert run("sweep", "toy", *rates[:-1], "last", *often, *FAST, *later) == 2
    assert "--weights is last: toy" in (error := capsys.readouterr().err)
    assert "--fresh starts it anew" in error


def test_a_sweep_evaluates_no_mean_that_its_experiment_says(monkeypatch, capsys) -> None:
    registry.discover(TOY.parent)
    toy = registry.find("toy").make
    monkeypatch.setattr(toy, "weights", "best:5", raising=False)
    assert run(*GRID, *FAST) == 2
    expected = "Toy.weights is 'best:5': a sweep evaluates best or last; expected --weights with one of them"
    assert expected in capsys.readouterr().err
    assert not Path("runs").exists()
    monkeypatch.setattr(toy, "weights", "best")
    assert run("sweep", "toy", "--grid", "line.slope=1,2", *FAST) == 0
    assert {found["weights"] for _, _, found, _ in table(only_sweep())} == {"best"}


def test_services_get_each_trial_as_a_run_of_the_sweeps_group_once(monkeypatch) -> None:
    inits, finished = [], []

    def init(**options):
        inits.append(options)
        run = SimpleNamespace(update=lambda cells: None)
        return SimpleNamespace(
            log=lambda numbers, step: None, summary=run, finish=lambda exit_code: finished.append(exit_code)
        )

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Image=str))
    grid = ["sweep", "toy", "--grid", "train.learning_rate=0.1,1e30", *FAST]
    assert run(*grid) == 0
    sweep = only_sweep()
    (sweep.trial(1).result_file).unlink()
    assert run(*grid, "--sinks", "wandb") == 0
    assert [options["name"] for options in inits] == [f"{sweep.name}/0000", f"{sweep.name}/0001"]
    assert {options["group"] for options in inits} == {sweep.name}
    assert [options["config"]["train.learning_rate"] for options in inits] == [0.1, 1e30]
    assert finished == [0, 1], "the second one diverged"
    (sweep.trial(1).result_file).unlink()
    assert run(*grid, "--sinks", "wandb") == 0
    assert len(inits) == 2


def test_a_sweep_that_another_process_works_on_is_left_alone(capsys) -> None:
    run_until_sigterm(*GRID, *FAST)
    before = table(only_sweep())
    with Run(only_sweep().folder).lock():
        assert run(*GRID, *FAST) == 2
    assert "another process is working on" in capsys.readouterr().err
    assert table(only_sweep()) == before


@pytest.mark.slow
def test_two_processes_on_one_sweep_do_no_harm(whole: list) -> None:
    hold = Path("hold")
    first = subprocess.Popen(command(*GRID, *FAST), env=held(7, hold), stderr=subprocess.DEVNULL)
    while not list(Path("runs").glob("sweeps/*/provenance.json")):
        assert first.poll() is None
        time.sleep(0.05)
    assert run(*GRID, *FAST) == 2
    hold.unlink()
    assert first.wait() == 0
    assert table(only_sweep()) == whole


@pytest.mark.parametrize(("rates", "sizes"), daily([(8, "6"), (16, "4,6,8,10")], [(8, "6")]))
def test_many_trials_compile_as_many_programs_as_there_are_shapes(
    rates: int, sizes: str, request: pytest.FixtureRequest
) -> None:
    compiled: list[str] = []

    def listen(name: str, *_: object, **__: object) -> None:
        compiled.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    request.addfinalizer(lambda: jax.monitoring.unregister_event_duration_listener(listen))
    counts = []
    for number in (1, rates):
        jax.clear_caches()
        compiled.clear()
        values = ",".join(f"{0.1 + i / 10000:.4f}" for i in range(number))
        axes = ["--grid", f"train.learning_rate={values}", f"train.batch_size={sizes}"]
        pack = [*FAST[:2], "--width", "4", "--devices", "1"]
        assert run("sweep", "toy", *axes, "--train.steps", "5", *pack) == 0
        counts.append(sum(name.endswith("backend_compile_duration") for name in compiled))
    shapes = len(sizes.split(","))
    assert len(only_trials()) == shapes + shapes * rates
    assert counts[1] <= counts[0] + 8


def only_trials() -> list:
    return [
        t for folder in Path("runs/sweeps").iterdir() for t in Sweep(folder).trials() if t.status == "done"
    ]


def test_a_full_disk_is_one_line_and_loses_nothing(whole: list, capsys) -> None:
    """A file may grow to 600 bytes: too little for sweep.json, and for compiled programs."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    try:
        assert run(*GRID, *FAST) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capsys.readouterr().err
    error = [line for line in said.splitlines() if line.startswith("attnjax: ")]
    assert "File too large" in error[-1]
    assert "Traceback" not in said
    assert run(*GRID, *FAST) == 0
    assert table(only_sweep()) == whole


def test_a_disk_that_is_full_in_the_middle_is_one_line_and_loses_nothing(
    whole: list, capsys, monkeypatch
) -> None:
    """No checkpoint finds room, and Orbax says so again when it is closed."""
    from orbax.checkpoint import v1 as ocp

    def full(*_, **__):
        raise ValueError("RESOURCE_EXHAUSTED: Failed writing")

    with monkeypatch.context() as exhausted:
        for name in ("save", "close"):
            exhausted.setattr(ocp.training.Checkpointer, name, full)
        assert run(*GRID, *FAST) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "RESOURCE_EXHAUSTED" in error.splitlines()[-1]
    assert run(*GRID, *FAST) == 0
    assert table(only_sweep()) == whole


def test_a_folder_that_lies_elsewhere_is_gone_on_with(whole: list) -> None:
    run_until_sigterm(*GRID, *FAST)
    Path("elsewhere").mkdir()
    moved = only_sweep().folder.rename("elsewhere/mine")
    assert run("resume", str(moved)) == 0
    assert table(Sweep(moved)) == whole
    assert not list(Path("runs", "sweeps").iterdir())
