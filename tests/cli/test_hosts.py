"""One run on several processes, joined over the loopback: as `attnjax run … --coordinator …`.

`scripts/kill_hosts.py --kills 100` is the same at length.
"""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from scripts import kill_hosts
from tests.daily import daily

STEP = "TOY_TERMINATED_IN_STEP"


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """A run of two hosts that nobody disturbed; beside it lie the compiled programs."""
    folder = tmp_path_factory.mktemp("hosts") / "reference"
    kill_hosts.run_to_the_end(folder, 2)
    return folder


@pytest.fixture
def folder(reference, request) -> Path:
    return reference.parent / request.node.name


def only_run(folder: Path) -> Path:
    (run,) = folder.glob("*-*/")
    return run


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (only_run(folder) / "metrics.jsonl").read_text().splitlines()]


def errors(folder: Path) -> list[str]:
    """The lines of errors, one for each host that printed one."""
    return sorted(line for line in kill_hosts.said(folder).splitlines() if "error:" in line)


def assert_alike(some: Path, others: Path) -> None:
    """The rows of two runs are the same but for rounding."""
    for own, other in zip(rows(some), rows(others), strict=True):
        assert own.keys() == other.keys()
        for name, value in own.items():
            if isinstance(value, float):
                np.testing.assert_allclose(value, other[name], rtol=1e-4, atol=1e-5, err_msg=name)
            else:
                assert value == other[name]


@pytest.mark.parametrize("victim", daily([0, 1], [1]))
def test_a_host_killed_in_mid_run_ends_the_others_and_all_end_in_the_same_bits(reference, folder, victim):
    hold = reference.parent / f"hold-{victim}"
    hold.touch()
    held = {number: {"TOY_HELD": f"15:{hold}"} for number in range(2)}
    processes = kill_hosts.start(folder, 2, environments=held)
    assert kill_hosts.wait_for_rows(folder, processes), kill_hosts.said(folder)
    codes = kill_hosts.kill_one(processes, victim)
    assert (codes[victim], codes[1 - victim]) == (-signal.SIGKILL, 1)
    assert errors(folder) == [f"attnjax: error: host {victim} died or can no longer be reached"]
    assert not (only_run(folder) / "result.json").exists()
    assert kill_hosts.run_to_the_end(folder, 2) == kill_hosts.outcome(reference)


def test_one_host_trains_as_two(reference, folder):
    kill_hosts.run_to_the_end(folder, 1)
    assert_alike(folder, reference)


@pytest.mark.slow
def test_sigterm_on_one_host_saves_on_all(reference, folder):
    processes = kill_hosts.start(folder, 2, environments={1: {STEP: "7"}})
    assert kill_hosts.end(processes, 60) == [143, 143]
    lines = [line for line in kill_hosts.said(folder).splitlines() if "stopped and saved" in line]
    assert len(lines) == 2
    assert len(set(lines)) == 1, lines
    assert list(only_run(folder).glob("checkpoints/[0-9]*"))
    assert kill_hosts.run_to_the_end(folder, 2) == kill_hosts.outcome(reference)


def test_a_checkpoint_of_two_hosts_goes_on_at_another_number(reference, folder):
    shutil.copytree(reference, folder)
    (only_run(folder) / "result.json").unlink()
    (run,) = folder.glob("*-*/")
    for newest in run.glob("checkpoints/20"):
        shutil.rmtree(newest)
    kill_hosts.run_to_the_end(folder, 1)
    changes = "devices was 2 and is 1; hosts was 2 and is 1; mesh was data=2 and is data=1: toy-"
    assert changes in kill_hosts.said(folder)
    assert json.loads((run / "result.json").read_text())["resumed_from"] == 10
    assert_alike(folder, reference)


def test_a_damaged_checkpoint_is_passed_over_by_all(reference, folder):
    shutil.copytree(reference, folder)
    (only_run(folder) / "result.json").unlink()
    for file in (only_run(folder) / "checkpoints" / "20").rglob("d/*"):
        file.write_bytes(b"x" * file.stat().st_size)
    kill_hosts.run_to_the_end(folder, 2)
    assert json.loads((only_run(folder) / "result.json").read_text())["resumed_from"] == 10
    assert kill_hosts.outcome(folder) == kill_hosts.outcome(reference)


@pytest.mark.slow
def test_the_best_weights_are_evaluated_by_all(reference, folder):
    shutil.copytree(reference, folder)
    best = {host: ["--weights", "best"] for host in (0, 1)}
    kill_hosts.run_to_the_end(folder, 2, more=best)
    result = json.loads((only_run(folder) / "result.json").read_text())
    assert result["weights"] == "best"
    assert result["params_hash"] == kill_hosts.outcome(reference).params_hash


@pytest.mark.slow
def test_a_run_of_two_hosts_is_reproduced_by_two(reference, folder, monkeypatch):
    shutil.copytree(reference, folder)
    for log in folder.glob("log-*"):
        log.unlink()
    again = ["reproduce", "toy", *kill_hosts.TOY]
    monkeypatch.setitem(kill_hosts.WHAT, "again", lambda folder: again)
    processes = kill_hosts.start(folder, 2, "again")
    assert kill_hosts.end(processes, 120) == [0, 0], kill_hosts.said(folder)
    assert kill_hosts.said(folder).count("is reproduced bit for bit") == 1
    assert [place.name for place in folder.iterdir() if place.is_dir()] == [only_run(folder).name]


def test_a_finished_run_is_shown_by_host_0_alone(reference, folder):
    shutil.copytree(reference, folder)
    for log in folder.glob("log-*"):
        log.unlink()
    kill_hosts.run_to_the_end(folder, 2)
    assert kill_hosts.said(folder).count("trained: 20 steps") == 1


def test_a_host_that_never_comes_is_named(folder):
    (first,) = kill_hosts.start(folder, 2, come=[0], more={0: ["--host-timeout", "1"]})
    assert kill_hosts.end([first], 60) == [2]
    assert errors(folder) == ["attnjax: error: host 1 of 2 never came in 1 s"]


def test_a_url_is_no_folder_that_all_hosts_see(attnjax):
    cluster = ["--coordinator", "localhost:1", "--hosts", "2", "--host", "0"]
    code, _, err = attnjax(*kill_hosts.toy(Path()), "--runs", "memory://runs", *cluster)
    assert code == 2
    assert "attnjax: error: --runs is memory://runs: expected a folder that all 2 hosts see" in err


def test_hosts_with_other_configs_say_what_differs(folder):
    other = ["--train.learning_rate", "0.5", "--line.slope", "3"]
    processes = kill_hosts.start(folder, 2, more={1: other})
    assert kill_hosts.end(processes, 60) == [2, 2]
    line = "attnjax: error: host 1 differs from host 0: line.slope is 3.0 and not 2.0; train.learning_rate is"
    assert [own.rpartition(" 0.5 and not ")[0] for own in errors(folder)] == [line, line]
    assert not list(folder.glob("*-*/"))


def test_what_one_host_cannot_read_ends_all_with_its_reason(folder):
    folder.mkdir()
    points = folder.parent / f"{folder.name}.txt"
    points.write_text("1\ntwo\n")
    processes = kill_hosts.start(folder, 2, more={host: ["--line.points", str(points)] for host in (0, 1)})
    assert kill_hosts.end(processes, 60) == [2, 2]
    assert all(f"{points}:2: expected a number, got 'two'" in line for line in errors(folder))
    assert len(errors(folder)) == 2


@pytest.fixture(scope="module")
def dates(tmp_path_factory) -> dict[int, Path]:
    """Runs of the date translator on 1, 2 and 4 hosts, which nobody disturbed."""
    folder = tmp_path_factory.mktemp("dates")
    runs = {hosts: folder / f"hosts-{hosts}" for hosts in (1, 2, 4)}
    for hosts, run in runs.items():
        kill_hosts.run_to_the_end(run, hosts, "translation")
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [2, 4])
def test_the_date_translator_killed_in_mid_run_ends_in_the_same_bits(dates, hosts):
    folder = dates[hosts].parent / f"killed-{hosts}"
    processes = kill_hosts.start(folder, hosts, "translation")
    assert kill_hosts.wait_for_rows(folder, processes), kill_hosts.said(folder)
    codes = kill_hosts.kill_one(processes, hosts - 1)
    assert codes == [1] * (hosts - 1) + [-signal.SIGKILL]
    assert not (only_run(folder) / "result.json").exists()
    assert kill_hosts.run_to_the_end(folder, hosts, "translation") == kill_hosts.outcome(dates[hosts])


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [1, 4])
def test_the_date_translator_of_two_hosts_goes_on_at_another_number(dates, hosts):
    folder = dates[2].parent / f"on-{hosts}"
    shutil.copytree(dates[2], folder)
    (only_run(folder) / "result.json").unlink()
    shutil.rmtree(only_run(folder) / "checkpoints" / "24")
    kill_hosts.run_to_the_end(folder, hosts, "translation")
    assert json.loads((only_run(folder) / "result.json").read_text())["resumed_from"] == 16
    assert_alike(folder, dates[2])


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [2, 4])
def test_the_date_translator_learns_the_same_on_any_number_of_hosts(dates, hosts):
    assert_alike(dates[hosts], dates[1])


@pytest.mark.slow
def test_parameters_split_over_hosts_learn_as_whole_ones(dates):
    folder = dates[2].parent / "split"
    split = {host: ["--mesh", "fsdp=2", "--rules", "fsdp"] for host in range(2)}
    kill_hosts.run_to_the_end(folder, 2, "translation", more=split)
    assert_alike(folder, dates[2])
