"""What a task may bring along: traced fields of its loss, and parameters from a file."""

import json
from pathlib import Path

import numpy as np
import pytest

from attnjax.cli import main
from attnjax.sweeps.store import Sweep

WHERE = ["--experiments", str(Path(__file__).parents[1] / "tasks" / "user_folder")]
RUN = ["run", "weighted", "--devices", "1"]
SWEEP = ["sweep", "weighted", "--batching", "map", "--width", "2", "--devices", "1"]

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")


def ran(*options: str) -> dict:
    """The result of a run."""
    before = set(Path("runs").glob("weighted-*"))
    assert main([*RUN, *options, *WHERE]) == 0
    (folder,) = set(Path("runs").glob("weighted-*")) - before
    return json.loads((folder / "result.json").read_text())


def swept(*options: str) -> tuple[Sweep, list[dict]]:
    """A sweep, and the results of its trials."""
    assert main([*SWEEP, *options, *WHERE]) == 0
    (folder,) = Path("runs", "sweeps").iterdir()
    return Sweep(folder), [trial.result for trial in Sweep(folder).trials()]


def refused(capsys: pytest.CaptureFixture, *options: str) -> str:
    assert main([*RUN, *options, *WHERE]) == 2
    return capsys.readouterr().err


def test_trials_that_differ_in_a_traced_field_of_the_loss_are_the_runs_of_their_configs() -> None:
    """They share one program, and its task is made with the field's default."""
    _, trials = swept("--grid", "loss.steepness=0,0.5,2")
    assert len({trial["params_hash"] for trial in trials}) == 3
    alone = ran("--loss.steepness", "0.5")
    assert trials[1]["params_hash"] == alone["params_hash"]
    assert trials[1]["metrics"] == alone["metrics"]


def test_a_traced_field_that_the_loss_does_not_read_is_refused_before_anything_is_written(capsys) -> None:
    error = refused(capsys, "--loss.ignored", "True")
    assert error.count("\n") == 1
    assert "WeightedTask.loss does not read hyper['steepness'], a traced field of the config" in error
    assert not Path("runs").exists()


def test_parameters_begin_as_those_of_a_file_in_runs_and_in_sweeps() -> None:
    np.savez("line.npz", slope=np.float64(1.5))  # Without an offset, which begins as ever.
    begin = ["--start", "line.npz", "--train.learning_rate"]
    given = ran(*begin, "0")
    assert given["metrics"]["all points"]["error"] == pytest.approx(
        np.mean((1.5 * np.arange(8) / 8 - 2.0 * np.arange(8)) ** 2)
    )
    trained = ran(*begin, "0.1")
    _, trials = swept(*begin, "0.1", "--grid", "loss.steepness=0,0.5")
    assert trials[0]["params_hash"] == trained["params_hash"] != given["params_hash"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"slope": np.ones(2)}, "initial_params['slope'] is float64[2]: expected float32[], as in init"),
        ({"slope": np.int32(1)}, "initial_params['slope'] is int32[]: expected float32[], as in init"),
        ({"steep": 1.0}, "initial_params has 'steep', which init has not: it has 'offset', 'slope'"),
    ],
    ids=["shape", "type", "name"],
)
def test_parameters_that_do_not_fit_are_one_line_before_anything_is_written(arrays, message, capsys) -> None:
    np.savez("line.npz", **arrays)
    error = refused(capsys, "--start", "line.npz")
    assert message in error
    assert error.count("\n") == 1
    assert not Path("runs").exists()


def test_a_task_that_has_no_predict_says_so(capsys) -> None:
    ran()
    assert main(["predict", "weighted", "1", *WHERE]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith("cannot predict: WeightedTask has no method predict")
