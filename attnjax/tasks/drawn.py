"""Tasks whose examples are drawn, and asked for answers among a few."""

import abc
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.data.hosts import host_rows
from attnjax.data.synthetic.questions import AS_TRAINED, NOT_ASKED, Split, stream
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.config import CROSS_ENTROPY, CrossEntropyConfig
from attnjax.tasks.losses import smoothed_cross_entropy
from attnjax.tasks.model_task import ModelTask

ANSWERS = "answers %"
SAMPLES = 2
"""Of each row of the final table."""


class Drawn(Protocol):
    """Makes examples with answers."""

    @property
    def config(self) -> Any:
        """With a seed and a number of evaluation_examples."""

    @property
    def settings(self) -> tuple[str, ...]:
        """The rows of the final table; `AS_TRAINED` is the first."""

    def rows(
        self, count: int, rng: np.random.Generator, setting: str = AS_TRAINED, part: Split = Split.TRAIN
    ) -> Arrays:
        """Returns arrays of examples, among them "answers", with `NOT_ASKED` where nothing is asked."""


Source = TypeVar("Source", bound=Drawn)
Model = TypeVar("Model", bound=nnx.Module)


class DrawnTask(ModelTask[Model], Generic[Source, Model]):
    """Trains a model to give the answers of a source.

    A subclass says what the model is called with (`logits_of`), and makes it (`build`).

    Args:
      source: makes the examples.
      loss: the loss's settings.
      batch_size: of all hosts together.
    """

    whole = "wholes"
    """The name of examples, which are right where all their answers are."""

    def __init__(self, source: Source, *, loss: CrossEntropyConfig = CROSS_ENTROPY, batch_size: int) -> None:
        self.source, self._loss = source, loss
        self._slice, self._batch_size = host_rows(batch_size), batch_size

    @abc.abstractmethod
    def logits_of(
        self, model: Model, arrays: Mapping[str, jax.Array], dropout: Dropout | None = None
    ) -> Float[Array, "B *T L"]:
        """Returns the logits of the answers."""

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The share of right answers."""
        return "answers", "max"

    def batch(self, step: int) -> Arrays:
        """Returns this host's rows of the step's arrays."""
        rng = stream(self.source.config.seed, Split.TRAIN, step)
        made = self.source.rows(self._batch_size, rng)
        return {name: array[self._slice] for name, array in made.items()}

    def loss_of(
        self,
        model: Model,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the `smoothed_cross_entropy` of the answers; nothing else of an example is learned."""
        smoothing = hyper.get("label_smoothing", self._loss.label_smoothing)
        logits, answers = self.logits_of(model, batch, dropout), batch["answers"]
        if answers.ndim == 1:
            logits, answers = logits[:, None], answers[:, None]
        return smoothed_cross_entropy(logits, answers, answers != NOT_ASKED, smoothing)

    def validate(self, params: Params) -> dict[str, float]:
        """Returns the percentages of right answers and of examples without a wrong one, held out."""
        scores = score(self.validation["answers"], self._given(params, self.validation), self.whole)
        return {name.removesuffix(" %"): value for name, value in scores.items()}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns a row with the percentages of `validate` for every setting of the source, and samples."""
        metrics: dict[str, dict[str, float]] = {}
        samples: list[dict[str, str]] = []
        for setting, arrays in self._tests.items():
            given = self._given(params, arrays)
            metrics[setting] = {**score(arrays["answers"], given, self.whole), "examples": len(given)}
            samples += [self._sample(setting, arrays, given, row) for row in range(min(SAMPLES, len(given)))]
        return Evaluation(metrics, samples)

    def likeliest(self, model: Model, arrays: Mapping[str, jax.Array]) -> Int[Array, "B *T"]:
        """Returns the likeliest answers."""
        return jnp.argmax(self.logits_of(model, arrays), axis=-1).astype(jnp.int32)

    @cached_property
    def validation(self) -> Arrays:
        """The held-out examples of `validate`."""
        config = self.source.config
        rng = stream(config.seed, Split.VALIDATION)
        return self.source.rows(config.evaluation_examples, rng, part=Split.VALIDATION)

    @cached_property
    def _tests(self) -> dict[str, Arrays]:
        config = self.source.config
        return {
            setting: self.source.rows(
                config.evaluation_examples, stream(config.seed, Split.TEST), setting, Split.TEST
            )
            for setting in self.source.settings
        }

    def _given(self, params: Params, arrays: Arrays) -> Int[np.ndarray, "n *T"]:
        inputs = {name: array for name, array in arrays.items() if name != "answers"}
        given: np.ndarray = self.infer(self.likeliest, params, inputs)
        return given

    def _sample(self, setting: str, arrays: Arrays, given: np.ndarray, row: int) -> dict[str, str]:
        """Returns what the final account shows of an example."""
        asked = arrays["answers"][row] != NOT_ASKED
        right, own = (np.atleast_1d(x[row][asked]).tolist() for x in (arrays["answers"], given))
        return {"row": setting, "answers": " ".join(map(str, own)), "right ones": " ".join(map(str, right))}


def score(answers: Int[np.ndarray, "n *T"], given: Int[np.ndarray, "n *T"], whole: str) -> dict[str, float]:
    """Returns the percentages of right answers and, where one has several, of examples without a wrong one.

    >>> answers = np.array([[NOT_ASKED, 4, 5], [NOT_ASKED, 6, 7]])
    >>> score(answers, np.array([[9, 4, 5], [9, 6, 6]]), "sequences")
    {'answers %': 75.0, 'sequences %': 50.0}
    """
    asked, right = answers != NOT_ASKED, answers == given
    found = {ANSWERS: 100 * float(right[asked].mean())}
    if answers.ndim > 1:
        found[f"{whole} %"] = 100 * float((right | ~asked).all(axis=1).mean())
    return found
