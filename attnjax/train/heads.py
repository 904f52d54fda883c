"""The attention weights of a model on a few held-out examples."""

import functools
import inspect
import logging
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from attnjax.nn.taps import NoSite, Taps
from attnjax.tasks.base import AS_MADE
from attnjax.tasks.model_task import ModelTask
from attnjax.train.head_numbers import numbers_of_heads

INPUTS = 4
"""Examples of the validation whose weights are read."""
MOST_WEIGHTS = 2**23
"""Weights of a layer that has numbers in the table of a run: more would take gigabytes, and minutes."""
MOST_LETTERS = 200
"""Of an error in a warning; a model may stand in it whole."""
logger = logging.getLogger(__name__)


class WeightsReader:
    """Reads the weights of attention layers, while a task's loss reads the first examples of the validation.

    Args:
      task: whose model is read.
      sites: their names or patterns, as `Taps` has them.

    Attributes:
      shapes: of the weights, by the path of their layer.

    Raises:
      NoSite: The model has none of such a name.
    """

    def __init__(self, task: ModelTask[Any], sites: Sequence[str]) -> None:
        examples = {name: array[:INPUTS] for name, array in task.held_out().items()}
        taps = Taps(read=tuple(sites))

        def read(params: Any, examples: Any) -> dict[str, jax.Array]:
            model = _Tapped(task.model(params), taps)
            task.loss_of(model, examples, dropout=None, hyper=AS_MADE)
            return {path.removesuffix(".weights"): x for path, x in model.found.items()}

        self._examples, self._read = examples, jax.jit(read)
        found = self._read.eval_shape(jax.eval_shape(task.init, jax.random.key(0)), examples)
        self.shapes: dict[str, tuple[int, ...]] = {path: x.shape for path, x in found.items()}

    def __call__(self, params: Any) -> dict[str, Float[np.ndarray, "B N T S"]]:
        """Returns the weights of each layer, by its path."""
        found = jax.device_get(self._read(params, jax.device_put(self._examples)))
        return {path: np.asarray(x, np.float32) for path, x in found.items()}


class HeadNumbers:
    """Gives `numbers_of_heads` of each layer whose weights are those of tokens among tokens, by its path.

    There are none for a task without a model of its own, nor for a model that cannot be read: a training is
    over then, and its result is not lost for them. The program is compiled once.

    Args:
      task: whose model has the parameters.
    """

    def __init__(self, task: Any) -> None:
        self._task = task

    def __call__(self, params: Any) -> dict[str, dict[str, float]]:
        """Returns the numbers for these parameters."""
        reader = self._reader
        return {} if reader is None else {path: numbers_of_heads(x) for path, x in reader(params).items()}

    @functools.cached_property
    def _reader(self) -> WeightsReader | None:
        task = self._task
        if not isinstance(task, ModelTask):
            return None
        model = task.model(jax.eval_shape(task.init, jax.random.key(0)))
        if "capture" not in inspect.signature(model.__call__).parameters:
            return None
        try:
            reader = WeightsReader(task, ["*.weights"])
        except NoSite:
            return None
        except Exception as error:  # The model and its loss are a user's, and need not be ready for taps.
            logger.warning("no numbers on heads: %s: %s", type(error).__name__, str(error)[:MOST_LETTERS])
            return None
        fit = [
            path
            for path, x in reader.shapes.items()
            if len(x) == len("BNTS") and math.prod(x) <= MOST_WEIGHTS
        ]
        if not fit:
            return None
        whole = len(fit) == len(reader.shapes)
        return reader if whole else WeightsReader(task, [f"{path}.weights" for path in fit])


class _Tapped:
    """A model that is asked for some of its sites whenever it is called, and otherwise is itself."""

    def __init__(self, model: Any, taps: Taps) -> None:
        self._model, self._taps = model, taps
        self.found: dict[str, jax.Array] = {}

    def __call__(self, *arguments: Any, capture: Any = None, **options: Any) -> Any:
        read = self._model(*arguments, **options, capture=self._taps)
        self.found = read.taps
        # A loss that asks for weights itself gets its own; the compiler computes what is the same once.
        return read if capture is None else self._model(*arguments, **options, capture=capture)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)
