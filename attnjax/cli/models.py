"""The models that a command line names: folders of pretrained ones, and trained runs."""

import argparse
import json
from pathlib import Path
from typing import Any

from attnjax.config import InputError


def is_pretrained(folder: Path) -> bool:
    """Returns whether a folder has the config.json of a pretrained model, and not that of a run.

    Raises:
      InputError: The file is no JSON, or the folder has none.
    """
    file = folder / "config.json"
    if not file.is_file():
        if folder.is_dir():
            raise InputError(
                f"{folder} has no config.json: expected a folder of a pretrained model, or a run"
            )
        return False
    try:
        return "model_type" in json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is no JSON: {error}") from None


def trained(name: str, options: argparse.Namespace, weights: str | None = None) -> tuple[str, Any, Any]:
    """Returns the name of a run, its task and its parameters.

    Raises:
      InputError: There is no such run, or it cannot predict.
    """
    from attnjax.experiment import registry
    from attnjax.runs.predict import trained_task
    from attnjax.runs.sources import source_folder
    from attnjax.runs.store import Run

    registry.discover(options.experiments)
    run = Run(source_folder(name, options.runs).resolve())
    return run.name, *trained_task(run, weights)
