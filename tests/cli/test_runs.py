"""The command line around training, on a toy experiment: run, resume, reproduce, compare, doctor."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from attnjax.runs import start as running
from attnjax.runs.store import Run
from tests.toy_runs import RUN, TOY, WHERE, edit, only_run, provenance, result


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


def test_a_run_says_at_once_what_it_is_and_when_it_is_compiled(attnjax):
    _, out, err = attnjax(*RUN)
    name = only_run().name
    begun, initializing, compiling, compiled, *_ = err.splitlines()
    assert begun == f"attnjax: {name} in runs/{name}: 20 steps (2 of them warm-up) on 1 cpu device(s)"
    assert initializing == "compiling the initial parameters"
    assert compiling == "step 0/20  compiling, 2 parameters"
    assert re.fullmatch(r"compiled in \d+\.\d s", compiled)
    assert "parameters: 2, sha256 " in out
    assert result(only_run())["parameters"] == 2


def test_data_that_takes_long_does_not_keep_the_first_line_back(attnjax, monkeypatch):
    monkeypatch.setattr(running, "SECONDS_BEFORE_FIRST_LINE", 0.0)
    Path("points.txt").write_text("three\n")
    monkeypatch.setenv("TOY_SECONDS_TO_READ", "0.2")
    _, _, err = attnjax(*RUN, "--line.points", "points.txt")
    assert "20 steps" in err.splitlines()[0]


def test_the_warm_up_follows_fewer_steps(attnjax):
    assert attnjax(*RUN, "--train.steps", "1")[0] == 0
    assert json.loads((only_run() / "config.json").read_text())["config"]["train"]["warmup_steps"] == 0
    _, _, err = attnjax(*RUN, "--train.steps", "1", "--train.warmup_steps", "2")
    assert "train.warmup_steps is 2: it must be at most train.steps (1)" in err


def test_a_measure_that_is_not_a_number_is_null_in_files_and_nan_again(attnjax, monkeypatch):
    monkeypatch.setenv("TOY_NAN_SLOPE", "2.0")
    assert "nan" in attnjax(*RUN)[1]

    def refuse(text: str) -> None:
        raise AssertionError(f"bare {text}")

    text = (only_run() / "result.json").read_text()
    assert json.loads(text, parse_constant=refuse)["metrics"] == {"all points": {"error": None}}
    assert "nan" in attnjax(*RUN)[1]
    assert math.isnan(Run(only_run()).outcome()["metrics"]["all points"]["error"])


def test_the_final_table_is_that_of_the_weights_one_chooses(attnjax):
    # The rate is so high that the last step is worse than the one before.
    run = [*RUN, "--train.learning_rate", "2.5", "--train.warmup_steps", "0", "--train.schedule", "constant"]
    attnjax(*run)
    last = result(only_run())
    assert last["weights"] == "last"
    assert last["best"]["step"] == 10, "the last validation is the best one: nothing to choose"
    code, out, err = attnjax(*run, "--weights", "best")
    assert code == 0, err
    best = result(only_run())
    assert "weights: best; best validation at step 10" in out
    assert best["metrics"] == {"all points": {"error": best["best"]["error"]}} != last["metrics"]
    for name in ("step", "params_hash", "training_seconds"):
        assert best[name] == last[name]
    assert "This run is finished" in attnjax(*run)[1]


def test_a_prolonged_run_ends_in_the_bits_of_one_that_was_longer_from_the_start(attnjax):
    constant = [*RUN, "--train.schedule", "constant"]
    attnjax(*constant, "--train.steps", "40", "--runs", "reference")
    (reference,) = Path("reference").iterdir()
    attnjax(*constant)
    short = only_run()
    before = {file: file.read_bytes() for file in short.glob("*.json*")}
    code, _, err = attnjax("prolong", "toy", "--train.steps", "40", *WHERE)
    assert code == 0, err
    assert {file: file.read_bytes() for file in short.glob("*.json*")} == before
    (longer,) = set(Path("runs").iterdir()) - {short}
    assert longer.name == reference.name
    assert result(longer)["params_hash"] == result(reference)["params_hash"]
    assert result(longer)["resumed_from"] == 20
    assert (longer / "metrics.jsonl").read_bytes() == (reference / "metrics.jsonl").read_bytes()
    assert "This run is finished" in attnjax("prolong", short.name, "--train.steps", "40", *WHERE)[1]


@pytest.mark.parametrize(
    ("fields", "steps", "message"),
    [
        ([], 40, "cannot be prolonged: its learning rate (cosine) falls to 0 at step 20"),
        (["--train.schedule", "constant"], 20, "--train.steps is 20: toy-"),
    ],
)
def test_a_run_that_cannot_be_prolonged_says_why(attnjax, fields, steps, message):
    attnjax(*RUN, *fields)
    before = only_run()
    code, out, err = attnjax("prolong", "toy", "--train.steps", str(steps), *WHERE)
    assert (code, out) == (2, "")
    assert message in err
    assert only_run() == before


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


def test_a_second_process_on_an_unfinished_run_says_so_and_leaves(attnjax, monkeypatch):
    with monkeypatch.context() as terminated:
        terminated.setenv("TOY_TERMINATED_IN_STEP", "1")
        attnjax(*RUN)
    with Run(only_run()).lock():
        code, out, err = attnjax(*RUN)
    assert (code, out, err) == (2, "", f"attnjax: error: another process is working on {only_run()}\n")


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
    assert f"line.points ({Path('points.txt').absolute()}) has changed since {only_run().name} began" in err
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
    reason = "cannot predict: LineTask has no method predict"
    assert done.stderr == f"attnjax: error: {only_run().name} {reason}\n"


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
