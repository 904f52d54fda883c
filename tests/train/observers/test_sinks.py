"""TensorBoard, Weights & Biases and MLflow get all of a run, and one that goes on goes on there."""

import json
import sys
import types
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnjax.config import InputError
from attnjax.train.metrics import MetricsFile
from attnjax.train.observers.sinks import SINKS, Shown, open_sinks

pytestmark = pytest.mark.versions

ROWS = [{"step": step, "split": "train", "loss": 1.0 / step} for step in (5, 10, 15)]
RESULT = {"test": {"exact match %": 50.0, "BLEU": float("nan")}}


class Calls(list):
    """What a fake package was told: (name, arguments, options)."""

    def method(self, name: str, answer: Any = None) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.append((name, arguments, options))
            return answer(**options) if callable(answer) else answer

        return call

    def of(self, name: str) -> list[tuple[tuple, dict]]:
        return [call[1:] for call in self if call[0] == name]


def _mlflow(calls: Calls) -> Any:
    made = iter("ab")

    def run(run_id: str | None = None, **_: Any) -> Any:
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or next(made)))

    names = ("log_metrics", "log_params", "log_artifact", "log_image", "set_tag", "end_run")
    return types.SimpleNamespace(
        start_run=calls.method("start_run", run), **{name: calls.method(name) for name in names}
    )


def _wandb(calls: Calls) -> Any:
    run = types.SimpleNamespace(
        log=calls.method("log"),
        finish=calls.method("finish"),
        summary=types.SimpleNamespace(update=calls.method("summary")),
    )
    return types.SimpleNamespace(init=calls.method("init", run), Image=lambda path: f"image {path}")


def _tensorboard(calls: Calls) -> Any:
    names = ("add_text", "add_scalar", "add_image", "close")
    writer = types.SimpleNamespace(**{name: calls.method(name) for name in names})
    return types.SimpleNamespace(SummaryWriter=calls.method("writer", writer))


FAKES = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
LOGGED = {"tensorboard": "add_scalar", "wandb": "log", "mlflow": "log_metrics"}


def _steps(service: str, calls: Calls) -> list[int]:
    """Of the rows that a service was told."""
    if service == "tensorboard":
        return [arguments[2] for arguments, _ in calls.of("add_scalar")]
    return [
        options["step"] for (numbers, *_), options in calls.of(LOGGED[service]) if "train/loss" in numbers
    ]


@pytest.fixture(params=sorted(FAKES))
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Calls]:
    calls = Calls()
    monkeypatch.setitem(sys.modules, SINKS[request.param].package, FAKES[request.param](calls))
    return request.param, calls


def _train(name: str, folder: Path, rows: list[dict], picture: Path | None = None) -> None:
    """A start that writes these rows, and is finished where it has a picture."""
    file = MetricsFile(folder / "metrics.jsonl")
    with ExitStack() as stack:
        shown = Shown("toy-1a2b", folder, {"train.steps": 15}, group="hunt")
        (sink,) = open_sinks([name], shown, stack)
        file.cut_back(rows[0]["step"] - 5)
        for row in rows:
            file.append(row)
            sink.row({**row, "steps_per_second": None})
        if picture:
            sink.result(15, RESULT, {"line": picture})


def _known(folder: Path, name: str) -> dict:
    return json.loads((folder / "sinks.json").read_text())[name]


def test_a_run_that_goes_on_is_the_same_run_there_with_each_row_once(service, tmp_path: Path) -> None:
    from matplotlib.image import imsave

    name, calls = service
    picture = tmp_path / "line.png"
    imsave(picture, np.zeros((2, 3, 3)))
    _train(name, tmp_path, ROWS[:2])
    first = _known(tmp_path, name)
    assert first["state"] == "stopped"
    _train(name, tmp_path, ROWS[1:], picture)  # The checkpoint was at step 5: the row of step 10 comes again.
    assert _steps(name, calls) == [5, 10, 15]
    assert _known(tmp_path, name) == {"id": first["id"], "state": "finished"}
    if name == "wandb":
        config, again = (options for _, options in calls.of("init"))
        assert config["id"] == again["id"] == first["id"]
        assert (config["config"], config["group"], config["resume"]) == ({"train.steps": 15}, "hunt", "allow")
        assert calls.of("summary") == [(({"result/test/exact match %": 50.0},), {})]
        assert (({"pictures/line": f"image {picture}"},), {"step": 15}) in calls.of("log")
        assert [options["exit_code"] for _, options in calls.of("finish")] == [1, 0]
    elif name == "mlflow":
        assert [options for _, options in calls.of("start_run")] == [
            {"run_name": "toy-1a2b"},
            {"run_id": "a"},
        ]
        assert calls.of("log_params") == [(({"train.steps": "15"},), {})]
        assert calls.of("set_tag") == [(("sweep", "hunt"), {})]
        assert (({"result/test/exact match percent": 50.0},), {"step": 15}) in calls.of("log_metrics")
        assert calls.of("log_artifact") == [((str(picture),), {})]
        assert [options["status"] for _, options in calls.of("end_run")] == ["KILLED", "FINISHED"]
    else:
        assert [arguments[0] for arguments, _ in calls.of("add_text")] == ["config", "result"]
        assert calls.of("add_image")[0][0][0] == "line"


def test_a_service_that_comes_later_gets_the_rows_before(service, tmp_path: Path) -> None:
    name, calls = service
    for row in ROWS[:2]:
        MetricsFile(tmp_path / "metrics.jsonl").append(row)
    _train(name, tmp_path, ROWS[2:])
    assert _steps(name, calls) == [5, 10, 15]


def test_watched_layers_are_shown_once_for_each_checkpoint(service, tmp_path: Path) -> None:
    name, calls = service
    weights = np.zeros((1, 2, 4, 3), np.float32)
    weights[0, 0, 1, 2] = 0.5
    rows = MetricsFile(tmp_path / "watched" / "metrics.jsonl")
    (tmp_path / "watched").mkdir()
    for steps in ((2, 4), (4, 6)):  # The checkpoint was at step 2: that of step 4 comes again.
        with ExitStack() as stack:
            (sink,) = open_sinks([name], Shown("toy", tmp_path, {}), stack)
            for step in steps:
                sink.watched(step, "decoder.0", weights, {"entropy": step / 4, "sink": float("nan")})
                rows.append({"step": step, "layer": "decoder.0"})
    if name == "tensorboard":
        assert [given for given, _ in calls.of("add_scalar")] == [
            ("watched/decoder.0/entropy", step / 4, step) for step in (2, 4, 6)
        ]
        pictures = [given[1] for given, _ in calls.of("add_image")]
        assert [given[::2] for given, _ in calls.of("add_image")] == [
            ("watched/decoder.0", step) for step in (2, 4, 6)
        ]
    elif name == "mlflow":
        pictures = [given[0] for given, _ in calls.of("log_image")]
        files = [options["artifact_file"] for _, options in calls.of("log_image")]
        assert files == [f"watched/decoder.0/{step}.png" for step in (2, 4, 6)]
        numbers = [given for given, _ in calls.of("log_metrics")]
        assert numbers == [({"watched/decoder.0/entropy": step / 4},) for step in (2, 4, 6)]
    else:
        logged = [(*given, options["step"]) for given, options in calls.of("log")]
        assert logged[::2] == [({"watched/decoder.0/entropy": step / 4}, step) for step in (2, 4, 6)]
        assert [step for _, step in logged[1::2]] == [2, 4, 6]
        return
    first, second = np.split(pictures[0][1:-1, 1:], 2, axis=1)
    times = len(first) // 4
    assert (first[times : 2 * times, 2 * times : 3 * times] == 0).all()
    assert (first[:, :-1].min(), (first[:, :-1] == 255).mean()) == (0, pytest.approx(11 / 12))
    assert (second[:, :-1] == 255).all()


@pytest.mark.parametrize("name", sorted(FAKES))
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    package = SINKS[name].package
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"needs the package {package}: pip install {package}"):
        open_sinks([name], Shown("run", tmp_path / "run", {}), ExitStack())
    assert not (tmp_path / "run").exists()
