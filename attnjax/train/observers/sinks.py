"""Services that a run is shown in: TensorBoard, Weights & Biases, MLflow. The only file that touches them.

Each knows a run by an id of its own, kept in the run's folder (sinks.json): a run that goes on, on another
day or machine, goes on in the same place, and two folders of the same config are two runs.
"""

import importlib
import json
import math
import os
import re
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Shaped

from attnjax.config import InputError
from attnjax.train.metrics import MetricsFile, Row
from attnjax.train.observers.base import Observer

FILE, PROJECT = "sinks.json", "attnjax"
Table = Mapping[str, Mapping[str, float]]
"""A final evaluation: row → column → value."""
State = Literal["finished", "failed", "stopped"]
Pixels = Shaped[np.ndarray, "rows columns 3"]
"""A picture: bytes from 0 to 255, or numbers from 0 to 1."""
LEAST_PIXELS = 64
"""Of the longer side of a head's map: smaller ones are shown larger."""


@dataclass(frozen=True)
class Shown:
    """The run that is shown: its folder, and the config by dotted name. `group`: the sweep of a trial."""

    name: str
    folder: Path
    config: Mapping[str, Any]
    group: str | None = None


class Sink(Observer):
    """One run in one service. As a context manager it ends there as it ends here.

    What the metrics file holds already is shown first where the service does not know the run, and not again
    where it does.
    """

    service: str
    package: str

    def __init__(self, shown: Shown) -> None:
        self._library = _package(self.package)
        self._shown = shown
        self._state: State = "stopped"
        rows = MetricsFile(shown.folder / "metrics.jsonl").rows()
        maps = MetricsFile(shown.folder / "watched" / "metrics.jsonl").rows()
        self._seen = {(row["step"], row.get("split", row.get("layer"))) for row in [*rows, *maps]}
        known = read_known(shown.folder).get(self.service, {}).get("id")
        self._id = self._open(known)
        if known is None:
            self._note()
            for row in rows:
                self._log(_numbers(row), row["step"])

    def row(self, row: Row) -> None:
        """Sends the row to the service."""
        if (row["step"], row["split"]) not in self._seen:
            self._log(_numbers(row), row["step"])

    def result(self, step: int, metrics: Table, figures: Mapping[str, Path]) -> None:
        """Shows the final evaluation and its pictures: the run is finished."""
        cells = {f"{row}/{column}": value for row, own in metrics.items() for column, value in own.items()}
        self._result(step, {name: value for name, value in cells.items() if _known(value)}, figures)
        self._state = "finished"

    def watched(
        self, step: int, layer: str, weights: Float[np.ndarray, "B N T S"], numbers: Mapping[str, float]
    ) -> None:
        """Shows what a `Watch` has of a layer at a checkpoint: a map of each head, and numbers on the heads.

        The maps are those of the first input. A checkpoint that a run comes to again is not shown again.
        """
        if (step, layer) not in self._seen:
            self._log({f"watched/{layer}/{name}": x for name, x in numbers.items() if _known(x)}, step)
            self._picture(f"watched/{layer}", heads_in_a_row(weights[0]), step)

    def failed(self) -> None:
        """The run ended without a result."""
        self._state = "failed"

    def __enter__(self) -> "Sink":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end(self._state)
        self._note()

    def _note(self) -> None:
        known = {**read_known(self._shown.folder), self.service: {"id": self._id, "state": self._state}}
        (self._shown.folder / FILE).write_text(json.dumps(known, indent=2) + "\n")

    def _open(self, known: str | None) -> str:
        """Opens the run with this id, or a new one; the id."""
        raise NotImplementedError

    def _log(self, numbers: Mapping[str, float], step: int) -> None:
        raise NotImplementedError

    def _picture(self, name: str, pixels: Pixels, step: int) -> None:
        raise NotImplementedError

    def _result(self, step: int, cells: Mapping[str, float], figures: Mapping[str, Path]) -> None:
        raise NotImplementedError

    def _end(self, state: State) -> None:
        raise NotImplementedError


class TensorBoardSink(Sink):
    """Writes for TensorBoard into tensorboard/ of the run's folder; needs `tensorboardX`."""

    service, package = "tensorboard", "tensorboardX"

    def _open(self, known: str | None) -> str:
        self._writer = self._library.SummaryWriter(
            str(self._shown.folder / "tensorboard"), filename_suffix=f".{uuid.uuid4().hex[:8]}"
        )
        if known is None:
            self._writer.add_text("config", _table(self._shown.config))
        return "tensorboard"

    def _log(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def _result(self, step: int, cells: Mapping[str, float], figures: Mapping[str, Path]) -> None:
        from matplotlib.image import imread

        self._writer.add_text("result", _table(cells), step)
        for name, file in figures.items():
            self._picture(name, imread(file)[..., :3], step)

    def _picture(self, name: str, pixels: Pixels, step: int) -> None:
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def _end(self, state: State) -> None:
        self._writer.close()


class WandbSink(Sink):
    """Logs to the Weights & Biases project $WANDB_PROJECT (default: attnjax); needs `wandb`."""

    service = package = "wandb"

    def _open(self, known: str | None) -> str:
        identity = known or uuid.uuid4().hex[:8]
        self._run = self._library.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=identity,
            name=self._shown.name,
            group=self._shown.group,
            config=dict(self._shown.config),
            dir=str(self._shown.folder),
            resume="allow",
        )
        return identity

    def _log(self, numbers: Mapping[str, float], step: int) -> None:
        self._run.log(dict(numbers), step=step)

    def _picture(self, name: str, pixels: Pixels, step: int) -> None:
        self._run.log({name: self._library.Image(pixels)}, step=step)

    def _result(self, step: int, cells: Mapping[str, float], figures: Mapping[str, Path]) -> None:
        pictures = {f"pictures/{name}": self._library.Image(str(file)) for name, file in figures.items()}
        if pictures:
            self._run.log(pictures, step=step)
        self._run.summary.update({f"result/{name}": value for name, value in cells.items()})

    def _end(self, state: State) -> None:
        self._run.finish(exit_code=0 if state == "finished" else 1)


class MLflowSink(Sink):
    """Logs to the MLflow server and experiment of the environment; needs `mlflow`."""

    service = package = "mlflow"

    def _open(self, known: str | None) -> str:
        if known is not None:
            return str(self._library.start_run(run_id=known).info.run_id)
        run = self._library.start_run(run_name=self._shown.name)
        self._library.log_params({name: str(value) for name, value in self._shown.config.items()})
        if self._shown.group:
            self._library.set_tag("sweep", self._shown.group)
        return str(run.info.run_id)

    def _log(self, numbers: Mapping[str, float], step: int) -> None:
        self._library.log_metrics({_mlflow_name(name): x for name, x in numbers.items()}, step=step)

    def _picture(self, name: str, pixels: Pixels, step: int) -> None:
        self._library.log_image(pixels, artifact_file=f"{name}/{step}.png")

    def _result(self, step: int, cells: Mapping[str, float], figures: Mapping[str, Path]) -> None:
        self._log({f"result/{name}": value for name, value in cells.items()}, step)
        for file in figures.values():
            self._library.log_artifact(str(file))

    def _end(self, state: State) -> None:
        self._library.end_run(status={"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}[state])


SINKS = {"tensorboard": TensorBoardSink, "wandb": WandbSink, "mlflow": MLflowSink}


def read_known(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns each service's record of the run of a folder: its "id" there, and its last "state"."""
    file = folder / FILE
    return json.loads(file.read_text()) if file.is_file() else {}


def open_sinks(names: list[str], shown: Shown, stack: ExitStack) -> list[Sink]:
    """Opens the run in the services of these names, until the stack is left.

    Raises InputError for one whose package is not installed.
    """
    for name in names:
        _package(SINKS[name].package)
    return [stack.enter_context(SINKS[name](shown)) for name in names]


def heads_in_a_row(weights: Float[np.ndarray, "N T S"]) -> Pixels:
    """Returns a picture of the heads' maps side by side, dark where the weight is large, each to its largest.

    Example:
      >>> pixels = heads_in_a_row(np.eye(32)[None].repeat(2, 0))
      >>> pixels.shape, pixels[1, 1].tolist(), pixels[1, 9].tolist()
      ((66, 131, 3), [0, 0, 0], [255, 255, 255])
    """
    sizes = np.abs(np.nan_to_num(weights))
    shares = sizes / np.maximum(sizes.max((1, 2), keepdims=True), np.finfo(np.float32).tiny)
    times = max(1, -(-LEAST_PIXELS // max(weights.shape[1:])))
    large = np.kron(255 * (1 - shares), np.ones((times, times)))
    framed = np.pad(large, ((0, 0), (1, 1), (0, 1)), constant_values=128)
    row = np.pad(np.concatenate(list(framed), axis=1), ((0, 0), (1, 0)), constant_values=128)
    return np.repeat(row[..., None], 3, axis=-1).round().astype(np.uint8)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"this sink needs the package {name}: pip install {name}") from error


def _numbers(row: Row) -> dict[str, float]:
    """The numbers of a row by split; those that are none, or not known, are left out."""
    return {
        f"{row['split']}/{name}": value
        for name, value in row.items()
        if name not in ("step", "split") and _known(value)
    }


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _table(cells: Mapping[str, Any]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in cells.items())])


def _mlflow_name(name: str) -> str:
    """MLflow takes letters, digits and a few signs.

    >>> _mlflow_name("result/locale×format/exact match %")
    'result/locale_format/exact match percent'
    """
    return re.sub(r"[^\w\-./ ]", "_", name.replace("%", "percent"))
