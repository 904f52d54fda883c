"""The attention of a few inputs at every checkpoint, and numbers on its heads."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from attnjax.config import InputError, require
from attnjax.nn.taps import Taps
from attnjax.tasks.base import AS_MADE
from attnjax.tasks.model_task import ModelTask
from attnjax.train.metrics import MetricsFile
from attnjax.train.observers.base import Observer
from attnjax.train.observers.sinks import Sink

INPUTS = 4
"""Examples of the validation that are watched."""
DORMANT = 0.9
"""The share of the weight on the first token from which on a head is dormant."""


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
        examples = {name: array[:INPUTS] for name, array in task.held_out().items()}
        taps = Taps(read=tuple(f"{layer.removesuffix('.weights')}.weights" for layer in layers))

        def read(params: Any, examples: Any) -> dict[str, jax.Array]:
            model = _Tapped(task.model(params), taps)
            task.loss_of(model, examples, dropout=None, hyper=AS_MADE)
            return model.found

        self._examples, self._read = examples, jax.jit(read)
        self._viewers: Sequence[Sink] = ()
        try:
            jax.eval_shape(read, jax.eval_shape(task.init, jax.random.key(0)), examples)
        except ValueError as error:
            if "there is no such site" not in str(error):
                raise
            raise InputError(f"watch is {' '.join(layers)}: {error}") from None

    def show_in(self, sinks: Sequence[Sink]) -> None:
        """Shows maps and numbers in these services too."""
        self._viewers = sinks

    def start(self, step: int, steps: int, parameters: int) -> None:
        """Drops the numbers of checkpoints after `step`."""
        self._metrics.cut_back(step)

    def snapshot(self, step: int, params: Any) -> None:
        """Writes the maps of a checkpoint and the numbers on them."""
        found: dict[str, Any] = {
            path.removesuffix(".weights"): np.asarray(x, np.float32)
            for path, x in jax.device_get(self._read(params, jax.device_put(self._examples))).items()
        }
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


def numbers_of_heads(weights: Float[np.ndarray, "B N T S"]) -> dict[str, float]:
    """Returns numbers on the heads of a layer, each a mean over heads, rows and inputs.

    "entropy" is that of a row in nats, "sink" its weight on the first key, "distance" the mean |t - s| under
    it in tokens, "agreement" one less the Jensen–Shannon divergence of pairs of heads over log 2, "dormant"
    the share of heads whose sink is above 0.9. Weights that are no distributions count by their size. Rows of
    padding count as others.

    References:
      Guo et al., Active-Dormant Attention Heads, 2024, arXiv:2410.13835 (dormant).

    Example:
      >>> weights = np.zeros((1, 2, 2, 2))
      >>> weights[0, 0], weights[0, 1] = np.eye(2), [[1, 0], [1, 0]]
      >>> numbers = numbers_of_heads(weights)
      >>> {name: round(value, 6) for name, value in numbers.items()}
      {'entropy': 0.0, 'sink': 0.75, 'distance': 0.25, 'agreement': 0.5, 'dormant': 0.5}
    """
    sizes = np.abs(np.asarray(weights, np.float64))
    total = sizes.sum(-1, keepdims=True)
    p = sizes / np.where(total > 0, total, 1)
    rows, keys = p.shape[-2:]
    far = np.abs(np.arange(rows)[:, None] - np.arange(keys))
    heads = p.shape[1]
    pairs = [(i, j) for i in range(heads) for j in range(i)]
    apart = [
        _entropy((p[:, i] + p[:, j]) / 2) - (_entropy(p[:, i]) + _entropy(p[:, j])) / 2 for i, j in pairs
    ]
    sink = p[..., 0].mean((0, 2))
    return {
        "entropy": float(_entropy(p).mean()),
        "sink": float(sink.mean()),
        "distance": float((p * far).sum(-1).mean()),
        "agreement": 1 - float(np.mean(apart)) / float(np.log(2)) if pairs else 1.0,
        "dormant": float((sink > DORMANT).mean()),
    }


def _entropy(p: Float[np.ndarray, "*B S"]) -> Float[np.ndarray, "*B"]:
    found: Float[np.ndarray, "*B"] = -(p * np.log(np.where(p > 0, p, 1))).sum(-1)
    return found


class _Tapped:
    """A model that is asked for some of its sites whenever it is called, and otherwise is itself."""

    def __init__(self, model: Any, taps: Taps) -> None:
        self._model, self._taps = model, taps
        self.found: dict[str, jax.Array] = {}

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        output = self._model(*arguments, **options, capture=self._taps)
        self.found = output.taps
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)
