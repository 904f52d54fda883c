"""Run folders: whose they are, how they are named on a command line, what a crash may leave."""

import json
import subprocess
import sys

import pytest

from attnjax.config import InputError
from attnjax.runs import store
from attnjax.runs.store import Run

pytestmark = pytest.mark.versions


def make(runs, *names):
    for name in names:
        (runs / name).mkdir()
        (runs / name / "config.json").write_text("{}")


@pytest.mark.parametrize("name", ["toy-11aa22bb", "toy-1", "toy-11aa22b"])
def test_a_run_is_named_by_its_id_or_the_start_of_it(tmp_path, name):
    make(tmp_path, "toy-11aa22bb", "toy-22aa22bb")
    assert store.resolve(name, tmp_path).name == "toy-11aa22bb"


def test_a_run_is_named_by_its_path(tmp_path):
    make(tmp_path, "toy-11aa22bb")
    assert store.resolve(str(tmp_path / "toy-11aa22bb"), tmp_path / "elsewhere").name == "toy-11aa22bb"


def test_an_id_that_begins_another_is_no_ambiguity(tmp_path):
    make(tmp_path, "toy", "toy-11aa22bb")
    assert store.resolve("toy", tmp_path).name == "toy"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("toy", "is not unique in .*toy-11aa22bb, toy-22aa22bb"),
        ("boy", "there is no run 'boy' in .*toy-11aa22bb"),
    ],
)
def test_a_name_that_does_not_mean_one_run_is_refused(tmp_path, name, message):
    make(tmp_path, "toy-11aa22bb", "toy-22aa22bb")
    with pytest.raises(InputError, match=message):
        store.resolve(name, tmp_path)


def test_a_folder_without_config_is_not_started(tmp_path):
    assert not Run(tmp_path).started


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    file = tmp_path / "result.json"
    store.write_json(file, {"a": 1})
    with pytest.raises(TypeError):
        store.write_json(file, {"a": object()})
    assert json.loads(file.read_text()) == {"a": 1}


@pytest.mark.parametrize("text", ["", "{", '{"config": {}}', "[]"])
def test_a_damaged_config_is_an_input_error(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config.json is (damaged|not what attnjax wrote)"):
        Run(tmp_path).load()


def test_the_lock_keeps_a_second_process_out_and_dies_with_its_holder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from attnjax.runs.store import Run\n"
        "with Run(Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        for shared in (False, True):
            with (
                pytest.raises(InputError, match=f"another process is working on {tmp_path}"),
                Run(tmp_path).lock(shared=shared),
            ):
                pass
        holder.kill()
    with Run(tmp_path).lock():
        pass


def test_readers_share_the_lock(tmp_path):
    with Run(tmp_path).lock(shared=True), Run(tmp_path).lock(shared=True):
        pass


def test_checking_a_folder_writes_nothing(tmp_path):
    store.check_writable(tmp_path / "new" / "runs")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to .*runs: .*file is not a folder"):
        store.check_writable(tmp_path / "file" / "runs")
