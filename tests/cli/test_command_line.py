"""The command line without training: what is quick, and what is refused in one line with nothing written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from attnjax.cli import main
from attnjax.runs.store import Run

pytestmark = pytest.mark.versions

USER_FOLDER = Path(__file__).parents[1] / "sweeps" / "user_folder"
HEAVY = ("jax", "flax", "numpy", "tyro", "rich")


@pytest.fixture
def attnjax(attnjax):
    """The command line with the user's folder of experiments."""
    return lambda *arguments: attnjax("--experiments", str(USER_FOLDER), *arguments)


def refused(outcome: tuple[int, str, str], folder: Path, *expected: str) -> None:
    """Exit code 2, one line on stderr that says what is expected, nothing on stdout, nothing written."""
    code, out, err = outcome
    assert (code, out) == (2, "")
    assert err.startswith("attnjax: error: ")
    assert err.count("\n") == 1, err
    for text in expected:
        assert text in err
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["show", "translation"], ["run", "--help"], ["runs"], ["data"]]
)
def test_the_quick_commands_import_nothing_heavy(arguments):
    code = (
        "import sys; from attnjax.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"loaded = set(sys.modules) & set({HEAVY})\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert any(text in done.stdout + done.stderr for text in ("usage: attnjax", "translation", "no runs"))


def test_list_prints_a_line_for_each_experiment(attnjax):
    code, out, err = attnjax("list")
    assert code == 0, err
    lines = [line.split(maxsplit=1) for line in out.splitlines() if line]
    assert ["toy", "Fit a line to points."] in lines
    assert any(name == "translation" and text[0].startswith("Translate dates") for name, *text in lines)


def test_list_reports_a_broken_file_beside_the_others(attnjax, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "broken.py").write_text("x = 1\nimport nowhere\n")
    code = main(["list", "--experiments", str(tmp_path / "mine")])
    out, err = capsys.readouterr()
    assert code == 2
    assert "translation" in out
    assert err.count("\n") == 1
    assert "mine/broken.py:2: ModuleNotFoundError: No module named 'nowhere'" in err


def test_show_prints_docstring_resolved_config_command_and_run(attnjax):
    code, out, _ = attnjax("show", "toy", "--line.slope", "3")
    assert code == 0
    assert out.startswith("Does a line fit points on a line?")
    assert "  line.slope = 3    (default: 2)\n" in out
    assert (
        "  train.keep = 2\n      Latest checkpoints kept; the best one by the task's metric is kept " in out
    )
    assert "  line.kind = line\n      (one of line, parabola)\n" in out
    assert "  train.steps = 20\n" in out
    assert f"command: attnjax run toy --line.slope 3 --experiments {USER_FOLDER}\n" in out
    assert "run:     runs/toy-" in out


def test_a_flag_alone_is_true(attnjax):
    code, out, _ = attnjax(
        "show", "translation", "--data.skip-malformed", "--model.bias=false", "--model.qk_norm", "true"
    )
    assert code == 0
    for changed in ("data.skip_malformed = True", "model.bias = False", "model.qk_norm = True"):
        assert f"  {changed}    (default: " in out
    _, out, _ = attnjax("show", "translation", "--model.no-bias")
    assert "  model.bias = False    (default: True)\n" in out


def test_help_of_an_experiment_lists_its_fields(attnjax):
    code, out, _ = attnjax("run", "translation", "--help")
    assert code == 0
    assert "--model.heads INT" in out
    assert "--data.train " in out
    for option in ("--devices N", "--sinks SINK", "--runs DIR", "--experiments DIR"):
        assert option in out


def test_the_help_says_something_about_every_field(attnjax, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")  # In a wider one tyro sets the groups side by side.
    _, out, _ = attnjax("run", "translation", "--help")
    fields = re.findall(r"^[│ ]*--([a-z_0-9.]+) .*\n[│ ]*(.*)$", out.rpartition("usage:")[2], re.MULTILINE)
    assert {"model.dim", "data.holdout", "train.beta1", "seed"} <= {name for name, _ in fields}
    assert [name for name, text in fields if text.startswith(("(default", "--", "╰"))] == []


def test_ATTNJAX_RUNS_says_where_runs_lie(attnjax, monkeypatch):
    monkeypatch.setenv("ATTNJAX_RUNS", "/somewhere")
    assert "run:     /somewhere/toy-" in attnjax("show", "toy")[1]
    assert "run:     /else/toy-" in attnjax("show", "toy", "--runs", "/else")[1]


BAD_COMMANDS = {
    "an unknown command": ("rnu", "unknown command 'rnu'; did you mean run"),
    "no command": ("", "required: COMMAND"),
    "no experiment": ("run", "which experiment?"),
    "an unknown experiment": ("run tyo", "unknown experiment 'tyo'; did you mean toy?"),
    "an unknown field": ("run toy --line.slpoe 3", "unknown field --line.slpoe; did you mean --line.slope"),
    "an unknown group": ("run toy --lime.slope=3", "unknown field --lime.slope; did you mean --line.slope"),
    "a stray argument": ("run toy 3", "unexpected argument '3'"),
    "a stray argument of list": ("list 3", "argument WHAT: invalid choice: '3'"),
    "a text for an integer": ("run toy --train.steps ten", "--train.steps is 'ten': expected int"),
    "a text for a number": ("run toy --line.slope up", "--line.slope is 'up': expected float"),
    "none of the choices": (
        "run toy --line.kind arc",
        "--line.kind is 'arc': expected one of line, parabola",
    ),
    "no bool": ("run translation --model.bias maybe", "--model.bias is 'maybe': expected True or False"),
    "a field without value": ("run toy --seed", "--seed"),
    "heads that do not divide dim": (
        "run translation --model.heads 5 --model.dim 64",
        "model.heads is 5: it must divide model.dim (64)",
    ),
    "a mechanism with other heads": (
        "run mechanisms --model.mechanism mixture_of_heads(shared=5)",
        "model.mechanism is 'mixture_of_heads(shared=5, ",
        ": shared 5: expected fewer than the heads (2)",
    ),
    "a mechanism of another layer": (
        "run mechanisms --model.mechanism lightning(layer=5,layers=2)",
        "model.mechanism is 'lightning(layer=5, layers=2)': layer is 5: expected at least 0 and below",
    ),
    "a mask of another length": (
        "run mechanisms --model.mechanism neighborhood(shape=[4,4])",
        "the mask neighborhood((4, 4), …) is for 16 tokens: got T=48",
    ),
    "a mechanism with less room": (
        "run mechanisms --model.mechanism gmlp(max_length=100) --model.head_dim None",
        "gmlp: max_length is 100: expected no less than model.max_length (192)",
    ),
    "a negative rate": ("run translation --train.learning_rate -1", "train.learning_rate is -1.0"),
    "a dropout of 1.5": ("run translation --train.dropout 1.5", "train.dropout is 1.5"),
    "a seed that jax cannot hold": (
        "run toy --seed 99999999999999999999",
        "seed is 99999999999999999999: it",
    ),
    "a seed that jax would cut": ("run toy --seed 4294967296", "must be a whole number in [0, 2**32)"),
    "a negative seed": ("run toy --seed=-1", "seed is -1"),
    "a data seed too large": ("run translation --data.seed 4294967296", "data.seed is 4294967296: it must"),
    "a missing data file": (
        "run translation --data.train no.tsv",
        "data.train is '",
        "no.tsv': there is no such",
    ),
    "an unknown sink": ("run toy --sinks printer", "invalid choice: 'printer'"),
    "no devices": ("run toy --devices 0", "--devices: '0' is not a whole number"),
    "an unknown axis of a mesh": ("run toy --mesh date=2", "unknown axis 'date'; did you mean data?"),
    "a mesh beyond the devices": (
        "run toy --devices 1 --mesh data=2,model=2 --rules tensor",
        "mesh data=2,model=2 needs 4 devices: --devices is 1; data and model must be smaller, data=1 fits",
    ),
    "unknown rules": ("run toy --rules fsdb", "unknown preset 'fsdb'; did you mean fsdp?"),
    "an unknown run": ("translate nothing text", "there is no run 'nothing' in runs"),
    "an unknown run to compare with": ("compare a b", "there is no run 'a' in runs"),
}


@pytest.mark.parametrize("case", BAD_COMMANDS)
def test_refused_in_one_line(attnjax, tmp_path, case):
    command, *expected = BAD_COMMANDS[case]
    refused(attnjax(*command.split()), tmp_path, *expected)


def test_a_folder_of_experiments_that_does_not_exist_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(
        (main(["list", "--experiments", "no"]), *capsys.readouterr()), tmp_path, "there is no such folder"
    )


BAD_CORPORA = {
    "an empty file": ("", "corpus.tsv"),
    "a line without a tab": ("a\tb\nno tab here\n", "corpus.tsv:2:"),
    "a line with three columns": ("a\tb\nc\td\ne\tf\tg\n", "corpus.tsv:3:"),
    "an empty target": ("a\tb\nc\t\n", "corpus.tsv:2:"),
}


@pytest.mark.parametrize("case", BAD_CORPORA)
def test_a_bad_corpus_is_refused_by_file_and_line(attnjax, tmp_path, case):
    text, expected = BAD_CORPORA[case]
    (tmp_path / "corpus.tsv").write_text(text)
    refused(attnjax("run", "translation", "--data.train", "corpus.tsv"), tmp_path, expected)


def test_files_of_different_length_are_refused(attnjax, tmp_path):
    (tmp_path / "a.de").write_text("a\nb\n")
    (tmp_path / "a.en").write_text("a\n")
    corpus = ["--data.train", "a.de", "--data.train_target", "a.en"]
    refused(attnjax("run", "translation", *corpus), tmp_path, "a.de", "a.en")


def test_a_runs_folder_that_cannot_be_written_is_refused(attnjax, tmp_path):
    (tmp_path / "file").write_text("")
    refused(
        attnjax("run", "toy", "--runs", "file/runs"),
        tmp_path,
        "cannot write to file/runs: file is not a folder",
    )


def test_two_experiments_of_one_name_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    toy, _, _ = (USER_FOLDER / "toy.py").read_text().partition("@sweep(")
    (tmp_path / "mine").mkdir()
    for name in ("one", "two"):
        (tmp_path / "mine" / f"{name}.py").write_text(
            toy.replace("@experiment\n", "@experiment(name='same')\n")
        )
    outcome = main(["list", "--experiments", "mine"]), *capsys.readouterr()
    refused(outcome, tmp_path, "experiment 'same' is defined twice", "mine/one.py:", "mine/two.py:")


def test_a_closed_reader_of_our_output_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m attnjax list | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


RESULT = """{"step": 1, "params_hash": "0", "training_seconds": 1.0, "resumed_from": 0, "metrics": {},
    "samples": [], "figures": []}"""


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"experiment": 1, "config": []}'])
def test_a_damaged_run_is_refused(attnjax, tmp_path, content):
    (tmp_path / "other" / "toy-1").mkdir(parents=True)
    Run(tmp_path / "other" / "toy-1").config_file.write_text(content)
    Run(tmp_path / "other" / "toy-1").result_file.write_text(RESULT)
    for command in (["translate", "toy-1", "x"], ["reproduce", "toy-1"], ["compare", "toy-1", "toy-1"]):
        refused(attnjax(*command, "--runs", "other"), tmp_path, "toy-1")
