"""Run folders at a URL: another machine finds them, goes on with them, and keeps off those of others."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pytest

from attnjax.runs import working_copy
from tests.toy_runs import RUN, WHERE, held, result

STORE = "memory://bucket/runs"
COMMAND = """
import sys
from attnjax.cli import main
from attnjax.runs import working_copy
working_copy.PERIOD = 0.05
sys.exit(main())
"""


@pytest.fixture
def store():
    """An empty store, which forgets after the test what it held."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Goes to a machine by name: each has copies of its own."""

    def go(name: str) -> None:
        monkeypatch.setattr(working_copy, "user_cache", lambda: tmp_path / name)

    go("a")
    return go


def reference(attnjax) -> Path:
    assert attnjax(*RUN, "--runs", "reference")[0] == 0
    (folder,) = Path("reference").iterdir()
    return folder


def fetched(store, name: str) -> bytes:
    (path,) = [path for path in store.find("/bucket/runs") if path.endswith("/" + name)]
    return store.cat_file(path)


def test_another_machine_finds_what_a_run_has_left(attnjax, store, machine):
    code, out, err = attnjax(*RUN, "--runs", STORE)
    assert code == 0, err
    assert json.loads(fetched(store, "result.json"))["step"] == 20
    machine("b")
    assert "toy" in attnjax("runs", "--runs", STORE, *WHERE)[1]
    again = attnjax(*RUN, "--runs", STORE)
    assert again[0] == 0
    assert again[1].splitlines()[1:] == out.splitlines()
    assert f"run folder: {STORE}/toy-" in out


def test_another_machine_goes_on_where_the_first_was_stopped(attnjax, store, machine, monkeypatch):
    right = reference(attnjax)
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_STEP", "7")
        assert attnjax(*RUN, "--runs", STORE)[0] == 143
    machine("b")
    code, _, err = attnjax(*RUN, "--runs", STORE)
    assert code == 0, err
    found = json.loads(fetched(store, "result.json"))
    assert found["resumed_from"] in (5, 10, 15)
    assert found["params_hash"] == result(right)["params_hash"]
    assert fetched(store, "metrics.jsonl") == (right / "metrics.jsonl").read_bytes()


def test_a_machine_that_comes_back_drops_what_another_has_overtaken(
    attnjax, store, machine, monkeypatch, tmp_path
):
    right = reference(attnjax)
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_STEP", "7")
        assert attnjax(*RUN, "--runs", STORE)[0] == 143
        machine("b")
        terminated.setenv("TOY_TERMINATED_IN_STEP", "12")
        assert attnjax(*RUN, "--runs", STORE)[0] == 143
    machine("a")
    # What it had not sent when it went away: rows that are none, and a checkpoint of a step to come.
    (metrics,) = (tmp_path / "a").glob("storage/*/*/metrics.jsonl")
    metrics.write_text("[]\n")
    newest = max(metrics.with_name("checkpoints").iterdir())
    newest.rename(newest.with_name("18"))
    code, _, err = attnjax(*RUN, "--runs", STORE)
    assert code == 0, err
    assert "damaged" not in err
    assert json.loads(fetched(store, "result.json"))["params_hash"] == result(right)["params_hash"]
    assert fetched(store, "metrics.jsonl") == (right / "metrics.jsonl").read_bytes()


def test_kill_9_costs_what_was_not_sent_and_no_bits(attnjax, machine, tmp_path):
    right = reference(attnjax)
    place = tmp_path / "bucket"
    words = [sys.executable, "-c", COMMAND, *RUN, "--runs", f"file://{place}"]
    environment = held(18, tmp_path / "hold") | {"XDG_CACHE_HOME": str(tmp_path / "a")}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while process.poll() is None and not list(place.glob("*/checkpoints/10/**/manifest.ocdbt")):
            time.sleep(0.02)
        process.kill()
        _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err
    (owner,) = place.glob("*/owner.json")
    assert json.loads(owner.read_text())["process"] == process.pid
    # On this machine it is known to be gone: nothing waits.
    code, _, err = attnjax(*RUN, "--runs", f"file://{place}")
    assert code == 0, err
    (folder,) = (path for path in place.iterdir() if path.is_dir())
    assert result(folder)["resumed_from"] >= 5
    assert result(folder)["params_hash"] == result(right)["params_hash"]
    assert (folder / "metrics.jsonl").read_bytes() == (right / "metrics.jsonl").read_bytes()
    # What it dropped itself is dropped there.
    kept = {path.name for path in (right / "checkpoints").iterdir() if path.name.isdigit()}
    assert {path.name for path in (folder / "checkpoints").iterdir() if any(path.rglob("*.*"))} == kept


def test_the_run_of_another_machine_is_left_alone_while_that_lives(attnjax, store, machine, monkeypatch):
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_STEP", "7")
        assert attnjax(*RUN, "--runs", STORE)[0] == 143
    (path,) = [path for path in store.find("/bucket/runs") if path.endswith("owner.json")]
    own = json.loads(store.cat_file(path))
    assert own["at"] == 0
    machine("b")
    store.pipe_file(path, json.dumps(own | {"host": "elsewhere", "process": 1, "at": time.time()}).encode())
    before = {name: store.cat_file(name) for name in store.find("/bucket/runs")}
    code, _, err = attnjax(*RUN, "--runs", STORE)
    assert code == 2
    assert re.fullmatch(r"attnjax: error: process 1 on elsewhere works on \S+, heard of \d+ s ago: .*\n", err)
    assert {name: store.cat_file(name) for name in store.find("/bucket/runs")} == before
    store.pipe_file(
        path, json.dumps(own | {"host": "elsewhere", "process": 1, "at": time.time() - 200}).encode()
    )
    assert attnjax(*RUN, "--runs", STORE)[0] == 0


def test_rows_go_before_checkpoints_and_a_result_last(attnjax, store, machine, monkeypatch):
    sent = []
    put = type(store).put_file

    def noted(self, here, there, **kwargs):
        sent.append(there)
        put(self, here, there, **kwargs)

    monkeypatch.setattr(type(store), "put_file", noted)
    assert attnjax(*RUN, "--runs", STORE)[0] == 0
    of_checkpoints = ["/checkpoints/" in path for path in sent]
    assert of_checkpoints[:-1] == sorted(of_checkpoints[:-1])
    assert sent[-1].endswith("/result.json")
    assert sent.index(next(path for path in sent if path.endswith("/metrics.jsonl"))) < of_checkpoints.index(
        True
    )


def test_what_cannot_be_sent_is_tried_again(store, machine, monkeypatch, tmp_path):
    notes = []
    put = type(store).put_file

    def failing(self, here, there, **kwargs):
        if not notes:
            raise OSError("the network is down")
        put(self, here, there, **kwargs)

    monkeypatch.setattr(type(store), "put_file", failing)
    monkeypatch.setattr(working_copy, "PERIOD", 0.01)
    with working_copy.working_copy(STORE, notes.append) as folder:
        (folder / "some").write_text("thing")
        while not store.exists("/bucket/runs/some"):
            time.sleep(0.01)
    assert store.cat_file("/bucket/runs/some") == b"thing"
    assert re.fullmatch(r"cannot write to \S+: the network is down \(what is here is kept in .*", notes[0])


def test_bad_places_are_one_line_before_any_work(attnjax, machine, tmp_path):
    (tmp_path / "file").write_text("")
    for url, message in (
        ("nowhere://bucket/runs", r"--runs is nowhere://bucket/runs: nowhere:// cannot be opened here"),
        (f"file://{tmp_path}/file/runs", r"cannot (read|write to) file://"),
    ):
        code, out, err = attnjax(*RUN, "--runs", url)
        assert (code, out) == (2, ""), err
        assert re.match(rf"attnjax: error: {message}", err.splitlines()[-1])
        assert "step" not in err.splitlines()[-1]


def test_two_processes_of_a_machine_have_a_copy_each(store, machine):
    with working_copy.working_copy(STORE, print) as one, working_copy.working_copy(STORE, print) as other:
        assert one != other
    with working_copy.working_copy(STORE, print) as again:
        assert again == one


def test_a_name_that_says_tmp_is_no_file_under_way(store, machine):
    with working_copy.working_copy(STORE, print) as folder:
        (folder / "tmp-1").mkdir()
        (folder / "tmp-1" / "config.json").write_text("{}")
    assert store.exists("/bucket/runs/tmp-1/config.json")


def test_a_cluster_is_not_given_a_copy_that_its_nodes_do_not_see(attnjax, store, machine):
    words = ["sweep", "toy", "--grid", "slope=1,2", *WHERE, "--launcher", "ray", "--address", "head:6379"]
    code, _, err = attnjax(*words, "--runs", STORE)
    assert code == 2
    assert err == f"attnjax: error: --address with --runs {STORE}: expected a folder that every node sees\n"
