"""Killed with `kill -9` at any moment and started again: the same bits as a run that was never killed.

`scripts/kill_resume.py --kills 500` is the same at length.
"""

import os
import signal
import time
from pathlib import Path

import pytest

from scripts import kill_resume


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, kill_resume.Report]:
    """A folder with runs that were killed, a reference that was not, and a cache of their programs."""
    folder = tmp_path_factory.mktemp("killed")
    return folder, kill_resume.kill_repeatedly(3, seed=1, folder=folder)


def test_a_killed_run_ends_in_the_bits_of_one_never_killed(killed: tuple[Path, kill_resume.Report]) -> None:
    _, report = killed
    assert report.different == []
    assert report.kills.total() > report.kills["after the end"]


@pytest.mark.slow
def test_one_killed_inside_a_save_does_too(tmp_path: Path) -> None:
    report = kill_resume.kill_repeatedly(6, seed=1, folder=tmp_path)
    assert report.different == []
    assert report.kills.total() - report.kills["after the end"] >= 4
    assert report.kills["inside a save"] >= 1


@pytest.mark.slow
def test_the_command_killed_at_any_moment_ends_in_the_bits_of_one_never_killed(tmp_path: Path) -> None:
    report = kill_resume.kill_repeatedly(5, seed=2, folder=tmp_path, main=kill_resume.run_command)
    assert report.different == []
    # Where the others fall is up to the clock; a kill that came too late is none.
    assert report.kills.total() - report.kills["after the end"] >= 3


def test_sigterm_saves_and_leaves_and_the_next_start_ends_in_the_same_bits(
    killed: tuple[Path, kill_resume.Report], tmp_path: Path
) -> None:
    folder, _ = killed
    cache, run, expected = folder / "cache", tmp_path / "run", kill_resume.outcome(folder / "reference")
    process = kill_resume.start(run, cache)
    while not (run / "metrics.jsonl").exists():
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 0
    assert not (run / "hash").exists(), "the run ended before SIGTERM came"
    assert list((run / "checkpoints").iterdir()), "nothing was saved"
    assert kill_resume.run_to_the_end(run, cache) == expected
