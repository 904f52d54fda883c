"""The scripts for clusters print what they would run."""

import importlib.util
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attnjax.cli.command_line import _parser

SCRIPTS = Path(__file__).parents[1] / "scripts"


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [SCRIPTS / script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def commands(done: subprocess.CompletedProcess) -> list[list[str]]:
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("+ ") for line in done.stdout.splitlines())
    return [shlex.split(line)[1:] for line in done.stdout.splitlines()]


SWEEP = ["translation", "--grid", "model.heads=2,4", "train.dropout=0,0.1", "--resources", "GPU=1"]


def read(words: list[str]) -> None:
    """The sweep's command line is one that attnjax takes."""
    assert words[:2] == ["attnjax", "sweep"]
    options, rest = _parser().parse_known_args(words[1:])
    assert (options.launcher, options.grid, rest) == ("ray", ["model.heads=2,4", "train.dropout=0,0.1"], [])
    assert options.address.endswith(":6379")


def test_slurm_starts_a_worker_on_each_node_and_the_sweep() -> None:
    token, *workers, sweep = commands(run("slurm_sweep.sh", "--dry-run", *SWEEP))
    assert token[:2] == ["ray", "get-auth-token"]
    assert [words[words.index("--nodelist") + 1] for words in workers] == ["NODE1", "NODE2"]
    assert [("--head" in words) for words in workers] == [True, False]
    read(sweep)


def test_a_tpu_slice_starts_a_worker_on_each_host_and_the_sweep() -> None:
    *workers, sweep = commands(run("tpu_vm_sweep.sh", "--dry-run", "NAME", "ZONE", *SWEEP))
    assert [words[words.index("--worker") + 1] for words in workers] == ["0", "1"]
    assert [("--head" in words[-1]) for words in workers] == [True, False]
    environment, *words = shlex.split(sweep[-1])
    assert environment == "RAY_AUTH_MODE=disabled"
    read(words)


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("slurm_sweep.sh", [], "usage: "),
        ("slurm_sweep.sh", ["translation"], "not inside a SLURM job"),
        ("tpu_vm_sweep.sh", ["NAME"], "usage: "),
        ("tpu_vm.sh", ["run", "NAME"], "usage: "),
        ("tpu_vm.sh", ["begin", "NAME", "ZONE"], "usage: "),
        ("tpu_vm.sh", ["watch", "NAME", "ZONE", "v6e-8", "translation"], "usage: "),
        ("tpu_vm.sh", ["create", "NAME", "ZONE", "h100-8"], "no runtime is known for h100-8"),
    ],
)
def test_bad_input_is_one_line(script: str, arguments: list[str], message: str) -> None:
    done = run(script, *arguments, SLURM_JOB_NODELIST="")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


GCLOUD = r'''"""A cloud of one slice: the first run is preempted, the second has a result."""
import json, pathlib, sys
place = pathlib.Path(__file__).with_name("state.json")
new = {"state": None, "runs": 0, "looks": 0, "alive": False}
cloud = json.loads(place.read_text()) if place.exists() else new
verb, command = sys.argv[4], sys.argv[-1]
answer, code = "", 0
if verb == "create":
    assert cloud["state"] is None, "there is one already"
    cloud |= {"state": "WAITING_FOR_RESOURCES"}
elif verb == "delete":
    cloud |= {"state": None, "alive": False}
elif verb == "describe":
    cloud["looks"] += 1
    if cloud["looks"] == 3:
        answer, code = "no route to host", 1
    elif cloud["state"] is None:
        answer, code = "ERROR: NOT_FOUND", 1
    else:
        answer = cloud["state"]
        if cloud["state"] == "WAITING_FOR_RESOURCES":
            cloud["state"] = "ACTIVE"
        elif cloud["runs"] == 1 and cloud["alive"] and cloud["looks"] > 8:
            cloud |= {"state": "SUSPENDED", "alive": False}
elif "nohup" in command:
    cloud |= {"runs": cloud["runs"] + 1, "alive": True}
elif "echo yes" in command:
    answer = "yes" if cloud["alive"] else "no"
elif "attnjax.exit" in command:
    answer = "0" if cloud["runs"] == 2 and cloud["looks"] > 16 else ""
place.write_text(json.dumps(cloud))
print(answer, file=sys.stderr if code else sys.stdout)
sys.exit(code)
'''


def test_a_slice_that_is_preempted_is_asked_for_again_until_the_run_has_its_result(tmp_path: Path) -> None:
    gcloud = tmp_path / "gcloud"
    gcloud.write_text(f"#!{sys.executable} -IS\n{GCLOUD}")
    gcloud.chmod(0o755)
    words = ["watch", "NAME", "ZONE", "v5litepod-16", "--spot", "--", "translation", "--runs", "gs://b/runs"]
    done = run("tpu_vm.sh", *words, PATH=f"{tmp_path}:{os.environ['PATH']}", POLL="0")
    assert done.returncode == 0, done.stderr
    verbs = [shlex.split(line)[5] for line in done.stdout.splitlines() if line.startswith("+ gcloud")]
    assert verbs == ["create", "scp", "ssh", "ssh", "delete", "create", "scp", "ssh", "ssh"]
    said = [line for line in done.stdout.splitlines() if line.startswith("==>")]
    assert said[-1] == "==> the run has its result"
    assert "==> NAME is SUSPENDED: asking for another" in said


def test_what_starts_on_a_host_is_the_run_and_its_exit_code_is_kept(tmp_path: Path) -> None:
    (start,) = commands(run("tpu_vm.sh", "--dry-run", "run", "NAME", "ZONE", "translation", "--seed", "3"))
    (tmp_path / "env/bin").mkdir(parents=True)
    python = tmp_path / "env/bin/python"
    python.write_text('#!/bin/sh\necho "$@"\nsleep 0.2\nexit 7\n')
    python.chmod(0o755)
    for _ in range(2):  # The second finds the first at work.
        subprocess.run(["bash", "-c", start[-1]], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL)
    for _ in range(1000):
        if (tmp_path / "attnjax.exit").exists() and (tmp_path / "attnjax.exit").read_text():
            break
        time.sleep(0.02)
    assert (tmp_path / "attnjax.exit").read_text() == "7\n"
    assert (tmp_path / "attnjax.log").read_text() == "-m attnjax run translation --seed 3\n"


def test_a_slice_is_created_filled_read_and_given_back() -> None:
    (create,) = commands(run("tpu_vm.sh", "--dry-run", "create", "NAME", "ZONE", "v6e-8", "--spot"))
    assert create[3:6] == ["queued-resources", "create", "NAME"]
    assert create[-3:] == ["--runtime-version", "v2-alpha-tpuv6e", "--spot"]
    archive, copy, install = commands(run("tpu_vm.sh", "--dry-run", "setup", "NAME", "ZONE"))
    assert (archive[0], copy[4]) == ("git", "scp")
    assert "uv pip install" in install[-1]
    for verb, rest, word in (("follow", [], "ssh"), ("fetch", ["runs"], "scp"), ("delete", [], "delete")):
        (command,) = commands(run("tpu_vm.sh", "--dry-run", verb, "NAME", "ZONE", *rest))
        assert command[4] == word


def test_scenes_of_highway_env_need_it_and_one_scene_or_more(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPTS / "highway_scenes.py", tmp_path / "tracks.csv"]
    for more, message in (
        (["--scenes", "0"], "--scenes is 0: expected 1 or more"),
        ([], "pip install highway-env"),
    ):
        if more or importlib.util.find_spec("highway_env") is None:
            done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
            assert (done.returncode, message in done.stderr) == (2, True)
    assert not (tmp_path / "tracks.csv").exists()
