"""A run that is stopped, by a signal or a kill, and started again: the same bits and the same rows."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.daily import daily
from tests.toy_runs import RUN, WHERE, held, only_run, provenance, result

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")

# A shell's background jobs, CI's too, are started with SIGINT ignored; these are to heed it.
COMMAND = """
import signal
from attnjax.cli import program
signal.signal(signal.SIGINT, signal.default_int_handler)
program()
"""


# A library in C looks up a module in Python while it is imported: that is when the signal comes.
IN_AN_IMPORT = """
import os, signal, sys
from attnjax.runs.exit_codes import Terminated, sigterm_raises
signal.signal(signal.SIGINT, signal.default_int_handler)
C = "numpy._core._multiarray_umath"

class Signal:
    began = False
    def find_spec(self, name, *_):
        if self.began:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), NUMBER)
        self.began = name == C

sys.meta_path.insert(0, Signal())
try:
    with sigterm_raises():
        import numpy
        while True:
            pass
except BaseException as stop:
    print(type(stop).__name__, sys.modules[C].__spec__._initializing)
"""


@pytest.mark.parametrize(("number", "error"), [("SIGTERM", "Terminated"), ("SIGINT", "KeyboardInterrupt")])
def test_a_signal_waits_for_the_end_of_an_import_of_a_library_in_c(number: str, error: str) -> None:
    """NumPy makes an ImportError of an exception that comes then, and others end the process (-6, -11)."""
    command = [sys.executable, "-c", IN_AN_IMPORT.replace("NUMBER", f"signal.{number}")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{error} False\n", done.stderr


# What is registered before stands for what Python and XLA do after all exit handlers.
PROGRAM = """
import atexit
atexit.register(print, "taken down", flush=True)
from attnjax.cli import command_line, program

def main(_):
    atexit.register(print, "handled")
    print("begun", end=" ")
    return CODE

command_line.main = main
program()
"""


@pytest.mark.parametrize(("code", "down"), [(0, "taken down\n"), (1, ""), (130, ""), (143, "")])
def test_xla_is_not_taken_down_in_the_midst_of_a_computation(code: int, down: str) -> None:
    """SIGTERM while a sweep measured a step ended with -11, after all was said, in two of three cases."""
    command = [sys.executable, "-c", PROGRAM.replace("CODE", str(code))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (code, f"begun handled\n{down}"), done.stderr


def start(*arguments: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})


def stop(process: subprocess.Popen, hold: Path) -> str:
    """Ctrl-C in the midst of a training that is held; what is printed from the answer on."""
    process.send_signal(signal.SIGINT)
    # JAX may warn of its cache before.
    answer = next(line for line in process.stderr if "saving" in line)
    hold.unlink()
    return answer + process.communicate()[1]


def wait_for_rows(folder: Path, process: subprocess.Popen) -> Path:
    while process.poll() is None:
        for metrics in folder.glob("*/metrics.jsonl"):
            if metrics.stat().st_size:
                return metrics.parent
        time.sleep(0.02)
    raise AssertionError(process.communicate()[1])


def test_sigterm_saves_and_the_next_start_ends_in_the_same_bits(attnjax, monkeypatch):
    attnjax(*RUN, "--runs", "reference")
    (reference,) = Path("reference").iterdir()
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_STEP", "7")
        code, out, err = attnjax(*RUN)
    assert (code, out) == (143, ""), err
    assert re.search(
        r"attnjax: stopped and saved at step (5|10|15): the same command continues from there", err
    )
    assert not (only_run() / "result.json").exists()

    assert attnjax(*RUN)[0] == 0
    assert result(only_run())["resumed_from"] in (5, 10, 15)
    assert result(only_run())["params_hash"] == result(reference)["params_hash"]
    assert (only_run() / "metrics.jsonl").read_bytes() == (reference / "metrics.jsonl").read_bytes()
    assert len(provenance(only_run())) == 2


@pytest.mark.parametrize("kills", daily([1, 3], [1]))
def test_kill_9_costs_neither_bits_nor_rows(attnjax, tmp_path, kills):
    """`scripts/kill_resume.py` kills 500 times in one process family; this holds the command itself."""
    attnjax(*RUN, "--runs", "reference")
    (reference,) = Path("reference").iterdir()
    dice = random.Random(0)
    for starts in range(1, kills + 1):
        with start(*RUN, TOY_SECONDS_PER_STEP="0.1", **held(18, tmp_path / "hold")) as process:
            folder = wait_for_rows(tmp_path / "runs", process)
            while process.poll() is None and len(provenance(folder)) < starts:
                time.sleep(0.02)
            time.sleep(dice.uniform(0, 0.7))
            process.kill()
        assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
    code, _, err = attnjax(*RUN)
    assert code == 0, err
    assert result(only_run())["params_hash"] == result(reference)["params_hash"]
    assert (only_run() / "metrics.jsonl").read_bytes() == (reference / "metrics.jsonl").read_bytes()
    assert len(provenance(only_run())) == kills + 1


def test_sigterm_in_the_evaluation_leaves_it_to_the_next_start(attnjax, monkeypatch):
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_EVALUATION", "1")
        code, out, err = attnjax(*RUN)
    assert (code, out) == (143, "")
    assert "attnjax: stopped: the same command continues from there" in err
    assert attnjax(*RUN)[0] == 0
    assert result(only_run())["resumed_from"] == 20


@pytest.mark.slow
def test_ctrl_c_saves_and_leaves_with_130(attnjax, tmp_path):
    hold = tmp_path / "hold"
    with start(*RUN, **held(12, hold)) as process:
        folder = wait_for_rows(tmp_path / "runs", process)
        message = stop(process, hold)
    assert process.returncode == 130, message
    assert "attnjax: warning: saving; Ctrl-C again leaves at once" in message
    assert "attnjax: interrupted: the same command continues" in message
    assert "Traceback" not in message
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert attnjax(*RUN)[0] == 0
    assert result(only_run())["resumed_from"] == last


def test_ctrl_c_twice_leaves_at_once(tmp_path):
    hold = tmp_path / "hold"
    with start(*RUN, **held(12, hold)) as process:
        wait_for_rows(tmp_path / "runs", process)
        process.send_signal(signal.SIGINT)
        assert any("saving" in line for line in process.stderr)  # JAX may warn of its cache before.
        process.send_signal(signal.SIGINT)
        hold.unlink()
        message = process.communicate()[1]
    assert process.returncode == 130, message
    assert "attnjax: interrupted" in message
    assert not list((tmp_path / "runs").glob("*/checkpoints/*"))


def test_a_run_that_died_in_its_evaluation_only_evaluates_at_the_next_start(attnjax, tmp_path):
    with start(*RUN[:2], "--devices", "5", *WHERE, TOY_DIES_IN_EVALUATION="1") as process:
        message = process.communicate()[1]
    assert process.returncode == 9, message
    assert "a (micro-)batch of 12 does not divide over 5 devices: using 4" in message
    assert not (only_run() / "result.json").exists()
    before = (only_run() / "metrics.jsonl").read_bytes()
    code, out, _ = attnjax(*RUN)
    assert code == 0
    assert "all points" in out
    assert result(only_run())["resumed_from"] == 20
    assert (only_run() / "metrics.jsonl").read_bytes() == before
