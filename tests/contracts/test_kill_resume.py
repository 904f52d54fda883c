"""Killed with `kill -9` at any moment and started again: the same bits as a run that was never killed.

`scripts/kill_resume.py --kills 500` is the same at length.
"""

import os
import signal
import time
from pathlib import Path

import pytest

from scripts import kill_resume

pytestmark = pytest.mark.optimised


def test_a_killed_run_ends_in_the_bits_of_one_never_killed(tmp_path: Path) -> None:
    report = kill_resume.kill_repeatedly(8, seed=1, folder=tmp_path)
    assert report.different == []
    assert report.kills.total() - report.kills["after the end"] >= 5
    assert report.kills["inside a save"] >= 1


def test_the_command_killed_at_any_moment_ends_in_the_bits_of_one_never_killed(tmp_path: Path) -> None:
    report = kill_resume.kill_repeatedly(8, seed=2, folder=tmp_path, main=kill_resume.run_command)
    assert report.different == []
    # Where the others fall is up to the clock; a kill that came too late is none.
    assert report.kills.total() - report.kills["after the end"] >= 5


def test_sigterm_saves_and_leaves_and_the_next_start_ends_in_the_same_bits(tmp_path: Path) -> None:
    cache, run, reference = tmp_path / "cache", tmp_path / "run", tmp_path / "reference"
    expected = kill_resume.run_to_the_end(reference, cache)
    process = kill_resume.start(run, cache)
    while not (run / "metrics.jsonl").exists():
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 0
    assert not (run / "hash").exists(), "the run ended before SIGTERM came"
    assert list((run / "checkpoints").iterdir()), "nothing was saved"
    assert kill_resume.run_to_the_end(run, cache) == expected
