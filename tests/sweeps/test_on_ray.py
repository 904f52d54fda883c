"""Sweeps on a Ray cluster: the same table, also when a worker is killed in mid-pack.

Clusters of this machine take half a minute and are slow; every day one stands in for them that computes here.
"""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnjax.cli import main
from attnjax.runs import devices
from attnjax.sweeps import on_ray
from tests.sweeps.test_run import command, only_sweep, table
from tests.toy_runs import WHERE, held

GRID = ["sweep", "toy", "--grid", "train.learning_rate=0.1,0.2", "--seeds", "4", "--train.steps", "40"]
FAST = ["--batching", "map", "--width", "2", "--devices", "1"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ray_workers() -> dict[int, int]:
    """The processes that compute a pack now, and the folder each works in, by pid."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cmdline").read_bytes().startswith(b"ray::_compute") and (
                str(Path.cwd()).encode() in (place / "environ").read_bytes()
            ):
                found[int(place.name)] = place.stat().st_uid
        except OSError:
            continue
    return found


def wait_for(what, process: subprocess.Popen) -> None:
    end = time.monotonic() + 300
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def rows_of_two_packs() -> bool:
    """Whether two packs have begun to train."""
    files = Path("runs").glob("sweeps/*/trials/*/metrics.jsonl")
    return len({int(file.parent.name) // 2 for file in files if file.stat().st_size}) >= 2


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Ray, as far as it is called: a node of two cores, whose tasks this process computes; their options."""
    asked: list[dict] = []

    def remote(**options):
        asked.append(options)
        return lambda function: SimpleNamespace(remote=functools.partial(functools.partial, function))

    def put(text):
        asked.append({"put": text})
        return text

    def get(task):
        return task.func(*json.loads(json.dumps(task.args)))  # Another process has only what is sent to it.

    def wait(tasks, timeout):
        """Of some tasks the last one ends first."""
        asked.append({"waits": len(tasks)})
        return tasks[-1:], tasks[:-1]

    errors = SimpleNamespace(RayTaskError=type("RayTaskError", (Exception,), {}), RayError=ConnectionError)
    ray = SimpleNamespace(
        is_initialized=lambda: True,
        nodes=lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}],
        cluster_resources=lambda: {"CPU": 2.0},
        remote=remote,
        put=put,
        get=get,
        wait=wait,
        exceptions=errors,
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(devices, "cores", lambda: 1)
    on_ray._worker.cache_clear()
    return asked


def test_what_tasks_compute_is_the_table_of_one_process(cluster, monkeypatch) -> None:
    """The trials of one learning rate fail, by code of their own."""
    monkeypatch.setenv("TOY_RAISES_ABOVE", "3")
    grid = [*GRID, *FAST, "--seeds", "2", *WHERE]
    assert main([*grid, "--runs", "whole"]) == 0
    assert not cluster
    assert main([*grid, "--launcher", "ray"]) == 0
    assert [trial.status for trial in only_sweep().trials()] == ["done"] * 2 + ["failed"] * 2
    assert table(only_sweep()) == table(only_sweep("whole"))
    # A plan and two packs of two, none of which may see a GPU; what the sweep is goes to the cluster once.
    assert [*cluster[0]] == ["put"]
    tasks = [options for options in cluster if "num_cpus" in options]
    assert [options["num_cpus"] for options in tasks] == [1.0] * 3
    assert tasks[0]["runtime_env"] == {"env_vars": {"JAX_PLATFORMS": "cpu", "NPROC": "1"}}
    assert json.loads(only_sweep().plan_file.read_text())["packs"] == 2


def test_packs_begin_in_their_order(cluster, monkeypatch) -> None:
    """Ray has one pack beside the one that its two cores compute, and gets the next when one has ended."""
    begun = []
    monkeypatch.setattr(on_ray, "_compute", lambda *sent: begun.append(sent[-1]) or True)
    grid = [*GRID, *FAST, *WHERE, "--launcher", "ray", "--resources", "CPU=2"]
    assert main(grid) == 0
    assert begun == [[2, 3], [4, 5], [6, 7], [0, 1]]
    assert [call["waits"] for call in cluster if "waits" in call] == [2, 2, 2, 1]
    assert cluster[1]["runtime_env"]["env_vars"]["NPROC"] == "2"


def test_what_no_node_has_is_one_line_and_nothing_is_written(cluster, capsys) -> None:
    assert main([*GRID, *WHERE, "--launcher", "ray", "--resources", "TPU=4"]) == 2
    message = "--resources TPU=4: no node of the Ray cluster has"
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not Path("runs").exists()


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_end_in_the_table_of_one_process(monkeypatch) -> None:
    """The trials of one learning rate fail, by code of their own."""
    monkeypatch.setenv("TOY_RAISES_ABOVE", "3")
    assert main([*GRID, *FAST, *WHERE, "--runs", "whole"]) == 0
    hold = Path("hold")
    env = {**held(20, hold), "SWEEP_TEST": str(Path.cwd())}
    process = subprocess.Popen(
        command(*GRID, *FAST, "--launcher", "ray"), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for(rows_of_two_packs, process)
    workers = ray_workers()
    assert len(workers) == 2
    # They asked for no GPU, and Ray hides none from them.
    for pid in workers:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert {b"JAX_PLATFORMS=cpu", b"NPROC=1"} <= set(environment)
    os.kill(min(workers), signal.SIGKILL)
    wait_for(lambda: len(ray_workers().keys() - workers.keys()) == 1, process)
    hold.unlink()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "4 done, 4 failed" in out.decode()
    assert "failed: RuntimeError in evaluate: too steep (_line_task.py:" in out.decode()
    assert len(list(only_sweep().folder.glob("trials/*/error.txt"))) == 4
    assert table(only_sweep()) == table(only_sweep("whole"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resources", "TPU=4"], "--resources TPU=4: no node of the Ray cluster has"),
        (["--address", "127.0.0.1:9"], "--address is 127.0.0.1:9: "),
    ],
)
def test_a_cluster_that_cannot_do_it_is_one_line_and_nothing_is_written(arguments, message) -> None:
    launched = command(*GRID, "--launcher", "ray", *arguments)
    done = subprocess.run(launched, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--launcher", "ray", "--resources", "TPU"], "'TPU': expected NAME=N with N above 0"),
        (["--launcher", "ray", "--train.dropout", "1.5"], "train.dropout is 1.5"),
        (["--address", "127.0.0.1:9"], "--address is for --launcher ray"),
    ],
)
def test_bad_input_is_refused_before_a_cluster_is_asked(arguments, message, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*GRID, *arguments, *WHERE]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_search_of_one_shape_asks_for_as_many_trials_as_all_workers_take() -> None:
    search = (
        "sweep toy --search tpe --trials 99 --train.steps 40 --space train.learning_rate=log:0.1..1".split()
    )
    process = subprocess.Popen(
        command(*search, *FAST, "--launcher", "ray"),
        env=held(20, Path("hold")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for(rows_of_two_packs, process)
    plan = json.loads(only_sweep().plan_file.read_text())
    assert (plan["per_pack"], plan["packs"]) == (4, devices.cores())
    wait_for(lambda: len(only_sweep().trials()) == 2 * devices.cores(), process)
    process.terminate()
    process.communicate(timeout=300)


@pytest.mark.slow
def test_a_search_that_is_stopped_on_a_cluster_goes_on_in_one_process_to_the_same_table() -> None:
    """Packs that are computed side by side, and ask as they go, know nothing of each other."""
    search = "sweep toy --search tpe --trials 48 --prune median --train.steps 40 --space".split()
    search += ["train.learning_rate=log:1e-2..1", "line.slope=1,2", "train.accumulate=1,7"]
    arguments = [*search, *FAST, "--launcher", "ray"]
    done = subprocess.run(command(*arguments, "--runs", "whole"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed: train.accumulate is 7: it must divide" in done.stderr
    process = subprocess.Popen(
        command(*arguments), env=held(20, Path("hold")), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for(rows_of_two_packs, process)
    process.terminate()
    process.communicate(timeout=300)
    assert len(only_sweep().trials()) < 48
    Path("hold").unlink()
    assert main(["resume", "toy", *WHERE]) == 0
    assert table(only_sweep()) == table(only_sweep("whole"))
    assert {trial.status for trial in only_sweep().trials()} == {"done", "pruned", "failed"}
    plan = json.loads(only_sweep().plan_file.read_text())
    assert (plan["per_pack"], plan["packs"]) == (3, devices.cores())
