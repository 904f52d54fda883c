"""The attention of a few inputs at every checkpoint, and numbers on its heads."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attnjax.config import InputError, require
from attnjax.nn.taps import NoSite
from attnjax.tasks.model_task import ModelTask
from attnjax.train.head_numbers import numbers_of_heads
from attnjax.train.heads import WeightsReader
from attnjax.train.metrics import MetricsFile
from attnjax.train.observers.base import Observer
from attnjax.train.observers.sinks import Sink


class Watch(Observer):
    """Writes the weights of some attention layers, and numbers on their heads, at every checkpoint.

    The folder gets STEP.npz with an array [B, N, T, S] for each layer, by its path, and metrics.jsonl with a
    row for each checkpoint and layer. A run that goes on after a kill writes those after its checkpoint anew.

    Args:
      task: whose model is watched, while its loss reads the first examples of the validation.
      layers: their paths or patterns, such as "decoder.1.cross_attention".
      folder: of what is written; it is made at the first checkpoint.

    Raises:
      InputError: the task has no model of its own, or there is no such layer.
    """

    def __init__(self, task: Any, layers: Sequence[str], folder: Path) -> None:
        require(
            isinstance(task, ModelTask),
            f"watch is {' '.join(layers)}: {type(task).__name__} has no model of its own to look into",
        )
        self._folder, self._metrics = folder, MetricsFile(folder / "metrics.jsonl")
        self._viewers: Sequence[Sink] = ()
        try:
            self._read = WeightsReader(
                task, [f"{layer.removesuffix('.weights')}.weights" for layer in layers]
            )
        except NoSite as error:
            raise InputError(f"watch is {' '.join(layers)}: {error}") from None

    def show_in(self, sinks: Sequence[Sink]) -> None:
        """Shows maps and numbers in these services too."""
        self._viewers = sinks

    def start(self, step: int, steps: int, parameters: int) -> None:
        """Drops the numbers of checkpoints after `step`."""
        self._metrics.cut_back(step)

    def snapshot(self, step: int, params: Any) -> None:
        """Writes the maps of a checkpoint and the numbers on them."""
        found: dict[str, Any] = self._read(params)
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{step}.npz"
        with part.open("wb") as file:
            np.savez_compressed(file, **found)
        os.replace(part, self._folder / f"{step}.npz")
        for path, weights in found.items():
            numbers = numbers_of_heads(weights)
            for sink in self._viewers:
                sink.watched(step, path, weights, numbers)
            self._metrics.append({"step": step, "layer": path, **numbers})
