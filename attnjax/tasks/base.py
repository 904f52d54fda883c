"""Tasks: the methods that training, experiments and the users of trained runs call."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key

from attnjax.models.decoding.text import TextModel
from attnjax.models.recogniser import Recogniser
from attnjax.models.sentences import SentenceEncoder
from attnjax.nn.dropout import Dropout

Params = Any
"""A pytree of arrays."""
Arrays = dict[str, np.ndarray]
"""Arrays on the host by name, with a row for each example."""
Hyperparameters = Mapping[str, float | Float[Array, ""]]
"""Numbers that a compiled program takes as arrays, by name: other values compile nothing anew."""
AS_MADE: Mapping[str, float] = MappingProxyType({})
"""No other numbers than those that a task was made with."""
LossAndMetrics = tuple[Float[Array, ""], dict[str, Float[Array, ""]]]


@dataclass(frozen=True)
class Evaluation:
    """The final account of a trained model: a table (row → column → value), samples, and figures on disk."""

    metrics: dict[str, dict[str, float]]
    samples: list[dict[str, str]] = field(default_factory=list)
    figures: list[Path] = field(default_factory=list)


class Task(Protocol):
    """A data source, a model, a loss and metrics, bound together.

    A task may have `notes` too: lines that a user should read before training begins. What else it may offer
    are the protocols `HoldsOut`, `HoldsOutByTrial`, `NamesAxes`, `ReadsRows`, `StartsFrom`, `BeginsFrom`,
    `Predicts`, `Embeds`. `ModelTask` has the common parts.
    """

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The name of the value of `validate` that chooses the best checkpoint, and its better direction."""

    def init(self, key: Key[Array, ""]) -> Params:
        """Returns fresh parameters; traceable."""

    def batch(self, step: int) -> Arrays:
        """Returns the training batch of a step, [batch_size, …] each; a pure function of the step.

        On several hosts it is this one's rows of it, `attnjax.data.hosts.host_rows`.
        """

    def loss(
        self,
        params: Params,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the loss and its metrics: "loss", "weight" and any others; pure and traceable.

        All but "weight" are means over `weight` terms, so that batches can be joined exactly.

        Args:
          params: the parameters.
          batch: arrays as `batch` gives them.
          dropout: of this step; None for none.
          hyper: values of the traced fields outside of `train` in the experiment's config, by field name, in
            place of those that the task was made with. Trials of a sweep that differ in them share one task.
        """

    def validate(self, params: Params) -> dict[str, float]:
        """Returns a cheap account of held-out examples, for choosing the best checkpoint."""

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns the final evaluation. Figures and details are written into the folder."""

    def save(self, folder: Path) -> None:
        """Writes what a trained run needs besides its parameters."""


@runtime_checkable
class HoldsOut(Protocol):
    """A task that can also show examples which it does not train on: its runs get a validation loss."""

    def held_out(self) -> Mapping[str, np.ndarray]:
        """Returns held-out examples, in the form of `Task.batch`; the same ones at every call."""


@runtime_checkable
class CountsRows(Protocol):
    """A task whose batches need not have `train.batch_size` rows."""

    @property
    def row_counts(self) -> Collection[int]:
        """The numbers of rows that batches have."""


@runtime_checkable
class HoldsOutByTrial(Protocol):
    """A task in which traced fields change held-out examples too, such as how much of each is removed.

    Trials of a sweep share one task: these methods are then called in place of those without `hyper`.
    """

    def validate_trial(self, params: Params, hyper: Hyperparameters) -> dict[str, float]:
        """Returns what `Task.validate` does, with these values of the traced fields."""

    def evaluate_trial(self, params: Params, folder: Path, hyper: Hyperparameters) -> Evaluation:
        """Returns what `Task.evaluate` does, with these values of the traced fields."""


@runtime_checkable
class StartsFrom(Protocol):
    """A task whose parameters begin as given ones, such as those of a file."""

    def initial_params(self) -> Params | None:
        """Returns arrays in the structure of `Task.init`, or in nested dicts a part of it; None for none.

        Leaves that are missing are those of `init`. It is called before training, and is not traced.
        """


@runtime_checkable
class BeginsFrom(Protocol):
    """A task whose parameters may begin as those of another model, which `train.init_from` names."""

    def begin_from(self, read: Callable[[], Mapping[str, np.ndarray]], label: str) -> None:
        """Makes the task begin with other parameters; nothing is read before it is needed.

        Args:
          read: returns arrays by dotted name.
          label: what errors call their source.
        """


class Prediction:
    """An answer of a trained model to one input; a subclass says how it is shown."""

    text: str
    """The answer in one line, for people."""
    log_prob: float | None = None
    """The logarithm of the answer's probability, where the model says so."""

    def ranked(self) -> "Sequence[Prediction]":
        """Returns the answers of which this is the best."""
        return [self]

    def record(self) -> dict[str, Any]:
        """Returns the answer as JSON holds it."""
        return {"text": self.text}

    def details(self) -> dict[str, Any]:
        """Returns what else is known of the answer, as JSON holds it."""
        return {}

    def links(self) -> str | None:
        """Returns the links between words of input and answer ("0-0 1-2"); None where there are none."""
        return None

    def picture(self) -> str:
        """Returns the details as lines for a terminal; nothing where there are none."""
        return ""

    def save(self, folder: Path, named: Callable[[str], str] = str) -> list[Path]:
        """Writes what of the answer is to be looked at into the folder, and returns the files; often none.

        Their names are what `named` makes of its own, which other answers may have too.
        """
        return []


@runtime_checkable
class Predicts(Task, Protocol):
    """A task whose trained runs answer inputs."""

    def read_input(self, text: str) -> Any:
        """Returns the input that a line of text stands for.

        Raises:
          InputError: the text stands for none.
        """

    def predict(self, params: Params, inputs: Sequence[Any]) -> Sequence[Prediction]:
        """Returns the answer to each input, in order."""


@runtime_checkable
class Searches(Predicts, Protocol):
    """A task whose answers are searched for, by settings that may be others than those of the training."""

    search: Any
    """A frozen dataclass."""

    def joined(self, params: Params, others: Sequence[tuple[str, Any, Params]]) -> Params:
        """Returns parameters with which the task and other runs (name, task, parameters) answer together."""


@runtime_checkable
class Constrains(Searches, Protocol):
    """A task whose answers can be made to have given phrases."""

    def constrained(self, given: Any, phrases: Sequence[str], place: str = "") -> Any:
        """Returns an input, the answer to which has to have phrases; errors begin with the place."""


@runtime_checkable
class Shortens(Predicts, Protocol):
    """A task that can answer the beginning of an input that is too long for it."""

    def beginning(self, text: str) -> str:
        """Returns as much of a text as the model allows, the whole of one that is short enough."""


@runtime_checkable
class Scores(Predicts, Protocol):
    """A task whose trained runs say how likely a given answer is."""

    def score(self, params: Params, inputs: Sequence[str], answers: Sequence[str]) -> Sequence[Prediction]:
        """Returns each answer with its log probability."""

    def too_long(self, text: str, answer: str) -> str:
        """Returns why an input or an answer is longer than the model allows; nothing where neither is."""


@runtime_checkable
class HasReferences(Predicts, Protocol):
    """A task with inputs for tests, of which the right answers are known as text."""

    def references(self) -> Mapping[str, tuple[Sequence[str], Sequence[str]]]:
        """Returns inputs and answers of each part that `Task.evaluate` has a row for."""


@runtime_checkable
class Writes(Task, Protocol):
    """A task whose trained runs write text, token by token."""

    def writer(self, params: Params) -> TextModel:
        """Returns the model with the way from text to tokens and back."""


@runtime_checkable
class Embeds(Task, Protocol):
    """A task whose trained runs give vectors of texts."""

    def sentence_encoder(self, params: Params) -> SentenceEncoder:
        """Returns the model with the way from texts to vectors."""


@runtime_checkable
class NamesTokens(Task, Protocol):
    """A task whose trained runs can be looked into, though they write no text: tokens have names."""

    def reader(self, params: Params) -> TextModel:
        """Returns the model with the way from an input to its tokens, and to their names."""


@runtime_checkable
class Recognises(Task, Protocol):
    """A task whose trained runs tell the labels of images."""

    def recogniser(self, params: Params) -> Recogniser:
        """Returns the model with the way from an image file to its input, and the names of the labels."""


@runtime_checkable
class ReadsRows(Protocol):
    """A task of whose large tables a batch reads a few rows: training may update these alone."""

    @property
    def reads_rows(self) -> bool:
        """True if rows that a batch does not read shall stay as they are, and so their optimiser's state."""

    def touched(
        self, batch: Mapping[str, jax.Array]
    ) -> tuple[dict[str, jax.Array], dict[str, Int[Array, " R"]]]:
        """Returns the batch with places among the rows for their numbers, and the rows; traceable.

        Rows are by the dotted name of their parameter, sorted, without repetition, in a number that the
        shapes of the batch decide; numbers past the last row fill them up. `loss` is then called with
        parameters that have these rows alone.
        """


@runtime_checkable
class NamesAxes(Protocol):
    """A task that names the axes of its parameters, so that a mesh can split them by rules."""

    def logical_axes(self) -> Any:
        """Returns a tree like the parameters with a tuple of names for each, as `nn.logical_axes` gives."""
