"""The scripts for clusters print what they would run."""

import os
import shlex
import subprocess
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
    ],
)
def test_bad_input_is_one_line(script: str, arguments: list[str], message: str) -> None:
    done = run(script, *arguments, SLURM_JOB_NODELIST="")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
