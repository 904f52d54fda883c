"""Tasks of configs, which begin with the parameters of another model where the config says so."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.config import InputError, require
from attnjax.runs import store
from attnjax.runs.store import Run

if TYPE_CHECKING:
    import numpy as np

    from attnjax.tasks.base import Task


def task_of(config: Any, folder: Path | None = None) -> "Task":
    """Returns the task of a config, which begins with the parameters that `train.init_from` names.

    They are read when training begins, and not where it goes on.

    Args:
      config: of an experiment.
      folder: of a trained run; None for a new one.

    Raises:
      InputError: the task cannot begin with given parameters.
    """
    task = config.task(folder)
    source = config.train.init_from
    if source is None:
        return task  # type: ignore[no-any-return]
    from attnjax.tasks.base import BeginsFrom

    require(
        isinstance(task, BeginsFrom),
        f"train.init_from is {str(source)!r}: {type(task).__name__} cannot begin with given parameters, "
        "it has no method begin_from",
    )
    task.begin_from(_reader(source), f"train.init_from ({source})")
    return task  # type: ignore[no-any-return]


def source_folder(text: str, runs: Path) -> Path:
    """Returns the folder that a command line names: a pretrained model, or a run by id, its start or path.

    Raises:
      InputError: there is none.
    """
    folder = Path(text)
    if folder.is_dir():
        require(
            (folder / "config.json").is_file(),
            f"{folder} has no config.json: expected a folder of a pretrained model, or a run",
        )
        return folder
    try:
        return store.resolve(text, runs).folder
    except InputError as error:
        raise InputError(f"{text!r} is no folder, and {error}") from None


def is_run(folder: Path) -> bool:
    """Returns True for the folder of a run, False for one of a pretrained model.

    Raises:
      InputError: its config.json is missing or damaged.
    """
    record = store.read_json(folder / "config.json")
    return isinstance(record, dict) and "fingerprint" in record


def _reader(source: Path) -> "Callable[[], dict[str, np.ndarray]]":
    def read() -> "dict[str, np.ndarray]":
        return _of_run(Run(source)) if is_run(source) else _of_folder(source)

    return read


def _of_folder(folder: Path) -> "dict[str, np.ndarray]":
    from flax import nnx

    from attnjax.pretrained import from_pretrained
    from attnjax.tasks.beginning import flat

    return flat(nnx.to_pure_dict(nnx.state(from_pretrained(folder), nnx.Param)))


def _of_run(run: Run) -> "dict[str, np.ndarray]":
    """Returns the parameters of a finished run after its last step."""
    from attnjax.tasks.beginning import flat
    from attnjax.train.hashing import params_hash
    from attnjax.train.loop import load_params

    result = run.outcome()
    if result is None:
        raise InputError(f"train.init_from is {str(run.folder)!r}: that run is not finished")
    _, config = run.load()
    with run.lock(shared=True):
        try:
            params = load_params(config.task(run.folder), config.train, folder=run.folder)
        except FileNotFoundError as error:
            raise InputError(f"train.init_from: {error}") from None
    require(
        params_hash(params) == result["params_hash"],
        f"train.init_from is {str(run.folder)!r}: its newest checkpoint is not what result.json says",
    )
    return flat(params)
