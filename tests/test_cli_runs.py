"""The command line around training, on a toy experiment: run, stop, resume, reproduce, compare, doctor.

All on one device, so that a run in this process and one in another have the same bits.
"""

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

from attnjax.cli import main
from attnjax.experiment.store import Run

TOY = Path(__file__).parent / "experiment" / "user_folder" / "toy.py"
WHERE = ["--experiments", str(TOY.parent)]
RUN = ["run", "toy", "--devices", "1", *WHERE]


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATTNJAX_RUNS", raising=False)


@pytest.fixture
def attnjax(capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return run


# A shell's background jobs, CI's too, are started with SIGINT ignored; these are to heed it.
COMMAND = """
import signal, sys
from attnjax.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""


def start(*arguments: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})


def only_run() -> Path:
    (folder,) = Path("runs").iterdir()
    return folder


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def provenance(folder: Path) -> list[dict]:
    """One record for each start of the run."""
    return json.loads((folder / "provenance.json").read_text())["starts"]


def edit(file: Path, *path, value) -> None:
    """Sets one entry of a JSON file."""
    data = json.loads(file.read_text())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(json.dumps(data))


def wait_for_rows(folder: Path, process: subprocess.Popen) -> Path:
    while process.poll() is None:
        for metrics in folder.glob("*/metrics.jsonl"):
            if metrics.stat().st_size:
                return metrics.parent
        time.sleep(0.02)
    raise AssertionError(process.communicate()[1])


def test_a_run_leaves_its_files_and_prints_its_table(attnjax):
    code, out, err = attnjax(*RUN)
    folder = only_run()
    assert code == 0, err
    assert {
        "config.json",
        "provenance.json",
        "metrics.jsonl",
        "checkpoints",
        "result.json",
        "points.txt",
    } <= {file.name for file in folder.iterdir()}
    for text in ("all points", "✓ right", f"run folder: {folder}", f"picture: {folder}/line.png"):
        assert text in out
    assert result(folder)["step"] == 20


def test_provenance_records_code_versions_devices_and_command(attnjax):
    attnjax(*RUN)
    (record,) = provenance(only_run())
    assert record["devices"] == 1
    assert record["seed"] == 0
    assert {"jax", "jaxlib", "flax", "optax", "orbax-checkpoint"} <= record["versions"].keys()
    assert {"time", "command", "platform", "device_kind", "xla_flags"} <= record.keys()
    assert len(record["code"]["attnjax"]["commit"]) == 40
    assert "diff" in record["code"]["attnjax"]


def test_a_finished_run_shows_its_stored_result_without_jax(attnjax):
    attnjax(*RUN)
    edit(only_run() / "result.json", "metrics", "all points", "error", value=123.0)
    code = f"import sys; from attnjax.cli import main; sys.exit(main({RUN}) or 'jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "This run is finished" in done.stdout
    assert "123" in done.stdout


def test_the_experiment_file_is_a_command_of_its_own(attnjax):
    attnjax(*RUN)
    done = subprocess.run([sys.executable, TOY, "--devices", "1"], capture_output=True, text=True, check=True)
    assert "This run is finished" in done.stdout


def test_another_config_is_another_run(attnjax):
    attnjax(*RUN)
    attnjax(*RUN, "--seed", "1")
    assert len(list(Path("runs").iterdir())) == 2


def test_sigterm_saves_and_the_next_start_ends_in_the_same_bits(attnjax, monkeypatch):
    attnjax(*RUN, "--runs", "reference")
    (reference,) = Path("reference").iterdir()
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_STEP", "7")
        code, out, err = attnjax(*RUN)
    assert (code, out) == (0, ""), err
    assert re.search(
        r"attnjax: stopped and saved at step (5|10|15): the same command continues from there", err
    )
    assert not (only_run() / "result.json").exists()

    assert attnjax(*RUN)[0] == 0
    assert result(only_run())["resumed_from"] in (5, 10, 15)
    assert result(only_run())["params_hash"] == result(reference)["params_hash"]
    assert (only_run() / "metrics.jsonl").read_bytes() == (reference / "metrics.jsonl").read_bytes()
    assert len(provenance(only_run())) == 2


def test_kill_9_costs_neither_bits_nor_rows(attnjax, tmp_path):
    """`scripts/kill_resume.py` kills 500 times in one process family; this holds the command itself."""
    attnjax(*RUN, "--runs", "reference")
    (reference,) = Path("reference").iterdir()
    dice = random.Random(0)
    for starts in (1, 2, 3):
        # Twenty steps take six seconds, a kill comes within the first four.
        with start(*RUN, TOY_SECONDS_PER_STEP="0.3") as process:
            folder = wait_for_rows(tmp_path / "runs", process)
            while process.poll() is None and len(provenance(folder)) < starts:
                time.sleep(0.02)
            time.sleep(dice.uniform(0, 2))
            process.kill()
        assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
    code, _, err = attnjax(*RUN)
    assert code == 0, err
    assert result(only_run())["params_hash"] == result(reference)["params_hash"]
    assert (only_run() / "metrics.jsonl").read_bytes() == (reference / "metrics.jsonl").read_bytes()
    assert len(provenance(only_run())) == 4


def test_sigterm_in_the_evaluation_leaves_it_to_the_next_start(attnjax, monkeypatch):
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_EVALUATION", "1")
        code, out, err = attnjax(*RUN)
    assert (code, out) == (0, "")
    assert "attnjax: stopped: the same command continues from there" in err
    assert attnjax(*RUN)[0] == 0
    assert result(only_run())["resumed_from"] == 20


def test_a_second_process_on_an_unfinished_run_says_so_and_leaves(attnjax, monkeypatch):
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_STEP", "0")
        attnjax(*RUN)
    with Run(only_run()).lock():
        code, out, err = attnjax(*RUN)
    assert (code, out, err) == (2, "", f"attnjax: error: another process is working on {only_run()}\n")


def test_ctrl_c_leaves_with_one_line_and_130(tmp_path):
    with start(*RUN, TOY_SECONDS_PER_STEP="0.2") as process:
        wait_for_rows(tmp_path / "runs", process)
        process.send_signal(signal.SIGINT)
        message = process.communicate()[1]
    assert process.returncode == 130, message
    assert "attnjax: interrupted: the same command continues" in message
    assert "Traceback" not in message


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


def test_a_folder_without_config_is_begun_again(attnjax):
    """What a crash between making the folder and claiming it leaves."""
    attnjax(*RUN)
    expected, folder = result(only_run())["params_hash"], only_run()
    for name in ("config.json", "result.json", "provenance.json"):
        (folder / name).unlink()
    assert attnjax(*RUN)[0] == 0
    assert result(folder)["params_hash"] == expected


def test_a_diverging_run_fails_in_one_line(attnjax):
    code, out, err = attnjax(*RUN, "--line.slope", "1e30")
    assert (code, out) == (1, "")
    assert "attnjax: error: training diverged in step 1" in err


def test_a_folder_that_belongs_to_another_config_is_refused(attnjax):
    attnjax(*RUN)
    edit(only_run() / "config.json", "config", "line", "slope", value=9.0)
    before = {file: file.stat().st_mtime_ns for file in only_run().rglob("*")}
    code, out, err = attnjax(*RUN)
    assert (code, out) == (2, "")
    assert err.startswith(f"attnjax: error: {only_run()} belongs to another config")
    assert err.count("\n") == 1
    assert {file: file.stat().st_mtime_ns for file in only_run().rglob("*")} == before


def test_a_bad_data_file_is_refused_by_line_before_anything_is_written(attnjax):
    Path("points.txt").write_text("1\n2\nthree\n")
    code, out, err = attnjax(*RUN, "--line.points", "points.txt")
    assert (code, out) == (2, "")
    assert err == f"attnjax: error: {Path('points.txt').absolute()}:3: expected a number, got 'three'\n"
    assert not Path("runs").exists()


def test_a_moved_data_file_keeps_its_run_and_an_edited_one_gets_another(attnjax):
    Path("points.txt").write_text("1\n2\n3\n")
    attnjax(*RUN, "--line.points", "points.txt")
    Path("points.txt").rename("moved.txt")
    assert "This run is finished" in attnjax(*RUN, "--line.points", "moved.txt")[1]
    Path("moved.txt").write_text("1\n2\n4\n")
    assert "This run is finished" not in attnjax(*RUN, "--line.points", "moved.txt")[1]
    assert len(list(Path("runs").iterdir())) == 2


def test_reproduce_compares_bit_for_bit(attnjax):
    attnjax(*RUN)
    folder = only_run()
    code, out, err = attnjax("reproduce", "toy", *WHERE)
    assert (code, out) == (
        0,
        f"{folder.name} is reproduced bit for bit: parameters {result(folder)['params_hash']}\n",
    )
    assert "may differ" not in err
    assert list(Path("runs").iterdir()) == [folder]

    edit(folder / "result.json", "params_hash", value="0" * 64)
    edit(folder / "provenance.json", "starts", 0, "versions", "jax", value="0.1")
    code, out, err = attnjax("reproduce", str(folder), *WHERE)
    assert code == 1
    assert f"{folder.name} is NOT reproduced" in out
    assert "attnjax: this run may differ: jax was 0.1 and is" in err


def test_reproduce_refuses_what_it_cannot_compare(attnjax):
    Path("points.txt").write_text("1\n2\n3\n")
    attnjax(*RUN, "--line.points", "points.txt")
    Path("points.txt").write_text("1\n2\n4\n")
    code, _, err = attnjax("reproduce", "toy", *WHERE)
    assert code == 2
    assert "the data files of toy-" in err
    (only_run() / "result.json").unlink()
    code, _, err = attnjax("reproduce", "toy", *WHERE)
    assert code == 2
    assert "is not finished" in err


@pytest.mark.parametrize("content", [None, "{}", "[]", '{"starts": []}', '{"starts": [{}]}'])
def test_reproduce_refuses_a_run_without_provenance(attnjax, content):
    attnjax(*RUN)
    file = only_run() / "provenance.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    code, out, err = attnjax("reproduce", "toy", *WHERE)
    assert (code, out) == (2, "")
    assert err.startswith(f"attnjax: error: {file} ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("content", ["{}", "[]", '{"metrics": {}}'])
def test_a_result_that_is_none_is_refused(attnjax, content):
    attnjax(*RUN)
    (only_run() / "result.json").write_text(content)
    runs = [only_run().name] * 2
    for command in (RUN, ["reproduce", "toy", *WHERE], ["compare", *runs, *WHERE]):
        code, out, err = attnjax(*command)
        assert (code, out) == (2, "")
        assert "result.json is not what attnjax wrote: it has no step" in err
        assert err.count("\n") == 1


def test_a_run_finds_its_experiment_file_without_being_told(attnjax):
    attnjax(*RUN)
    code = "import sys; from attnjax.cli import main; sys.exit(main(['translate', 'toy', 'text']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"attnjax: error: {only_run().name} is not a translation run\n"


def test_compare_shows_what_differs_and_the_results_side_by_side(attnjax):
    attnjax(*RUN)
    attnjax(*RUN, "--line.slope", "3")
    runs = sorted(str(folder) for folder in Path("runs").iterdir())
    code, out, _ = attnjax("compare", *runs, *WHERE)
    assert code == 0
    assert re.search(r"line\.slope +│ (2 +│ 3|3 +│ 2) ", out)
    assert "train.steps" not in out
    assert "all points: error" in out


def test_doctor_says_what_is_fine_and_how_to_mend_the_rest(attnjax):
    code, out, _ = attnjax("doctor", *WHERE)
    assert code == 0, out
    for name in ("versions", "devices", "speed", "compilation cache", "runs folder", "experiments"):
        assert f"{name:<18} ok: " in out

    Path("file").write_text("")
    Path("mine").mkdir()
    Path("mine/broken.py").write_text("import nowhere")
    code, out, _ = attnjax("doctor", "--runs", "file/runs", "--experiments", "mine")
    assert code == 1
    assert "broken: InputError: cannot write to file/runs" in out
    assert "→ choose another with --runs or ATTNJAX_RUNS" in out
    assert "→ mend the file, or move it out of the folder" in out
