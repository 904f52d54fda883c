"""Where rows of metrics go besides the run's own file: one small protocol, and adapters to three services."""

import importlib
from pathlib import Path
from typing import Any, Protocol

from attnjax.config import InputError
from attnjax.train.metrics import Row


class Observer(Protocol):
    """Sees each row as it is written. A resumed run shows the rows after its checkpoint again."""

    def start(self, step: int, steps: int) -> None:
        """Training goes from `step` to `steps`."""

    def row(self, row: Row) -> None:
        """A row of the metrics file: step, split ("train" or "validation") and numbers."""

    def close(self) -> None:
        """Training ended, was interrupted or failed."""


class _Sink:
    def start(self, step: int, steps: int) -> None:
        pass

    def close(self) -> None:
        pass


class TensorBoardSink(_Sink):
    """Writes scalars for TensorBoard into `folder`; needs the package `tensorboardX`."""

    def __init__(self, folder: Path) -> None:
        self._writer = _package("tensorboardX").SummaryWriter(str(folder))

    def row(self, row: Row) -> None:
        for name, value in _numbers(row).items():
            self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        self._writer.close()


class WandbSink(_Sink):
    """Logs to Weights & Biases under our run id, so that a resumed run continues its curve; needs `wandb`."""

    def __init__(self, run_id: str, project: str = "attnjax") -> None:
        self._run = _package("wandb").init(project=project, id=run_id, resume="allow")

    def row(self, row: Row) -> None:
        self._run.log(_numbers(row), step=row["step"])

    def close(self) -> None:
        self._run.finish()


class MLflowSink(_Sink):
    """Logs to the MLflow tracking server of the environment; needs the package `mlflow`."""

    def __init__(self, run_name: str) -> None:
        self._mlflow = _package("mlflow")
        self._mlflow.start_run(run_name=run_name)

    def row(self, row: Row) -> None:
        self._mlflow.log_metrics(_numbers(row), step=row["step"])

    def close(self) -> None:
        self._mlflow.end_run()


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"this sink needs the package {name}: pip install {name}") from error


def _numbers(row: Row) -> dict[str, float]:
    return {f"{row['split']}/{name}": value for name, value in row.items() if name not in ("step", "split")}
