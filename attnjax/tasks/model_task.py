"""The parts that tasks with a flax model have in common."""

import abc
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Key

from attnjax.config import require
from attnjax.nn.axes import logical_axes
from attnjax.nn.dropout import Dropout
from attnjax.nn.penalty import penalty
from attnjax.nn.training import Losses, in_training
from attnjax.tasks.base import AS_MADE, Arrays, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.beginning import beginning
from attnjax.tasks.inference import in_batches

Model = TypeVar("Model", bound=nnx.Module)


class ModelTask(abc.ABC, Generic[Model]):
    """A task whose model is a flax module with no state but its parameters.

    A subclass adds its data (`batch`, `validation`), its loss (`loss_of`) and its metrics (`monitor`,
    `validate`, `evaluate`); `build` makes its model. Parameters are nested dicts of arrays.

    Example:
      >>> from attnjax.tasks.base import Evaluation
      >>> class Doubling(ModelTask[nnx.Linear]):
      ...     monitor = ("error", "min")
      ...     validation = {"x": np.array([[1.0], [3.0]], np.float32)}
      ...
      ...     def build(self, rngs):
      ...         return nnx.Linear(1, 1, use_bias=False, rngs=rngs)
      ...
      ...     def batch(self, step):
      ...         return {"x": np.random.default_rng(step).normal(size=(8, 1)).astype(np.float32)}
      ...
      ...     def loss_of(self, model, batch, *, dropout, hyper):
      ...         loss = jax.numpy.mean((model(batch["x"]) - 2 * batch["x"]) ** 2)
      ...         return loss, {"loss": loss, "weight": jax.numpy.float32(len(batch["x"]))}
      ...
      ...     def given(self, model, arrays):
      ...         return model(arrays["x"])
      ...
      ...     def validate(self, params):
      ...         given = self.infer(self.given, params, self.validation)
      ...         return {"error": float(np.mean(abs(given - 2 * self.validation["x"])))}
      ...
      ...     def evaluate(self, params, folder):
      ...         return Evaluation({"held out": self.validate(params)})
      >>> task = Doubling()
      >>> jax.tree.map(np.shape, task.init(jax.random.key(0)))
      {'kernel': (1, 1)}
      >>> task.validate({"kernel": np.full((1, 1), 2.5, np.float32)})
      {'error': 1.0}
    """

    fresh: ClassVar[Sequence[str]] = ()
    """Patterns of names of parameters that another model need not have: those of a head."""
    unused: ClassVar[Sequence[str]] = ()
    """Patterns of names of parameters of another model that this one has no use for."""
    begun: str | None = None
    """A line on what came from the other model and what is new, once that is read."""
    _source: tuple[Callable[[], Mapping[str, np.ndarray]], str] | None = None

    @abc.abstractmethod
    def build(self, rngs: nnx.Rngs) -> Model:
        """Returns a new model."""

    @abc.abstractmethod
    def loss_of(
        self,
        model: Model,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the loss and its metrics, as `Task.loss` does for parameters."""

    @property
    @abc.abstractmethod
    def validation(self) -> Arrays:
        """The held-out examples that `validate` scores, in the form of `Task.batch`."""

    def init(self, key: Key[Array, ""]) -> Params:
        """Returns fresh parameters of the model."""
        return self._init(key)

    def begin_from(self, read: Callable[[], Mapping[str, np.ndarray]], label: str) -> None:
        """Makes the task begin with parameters of another model, as `BeginsFrom` says."""
        self._source = read, label

    def initial_params(self) -> Params | None:
        """Returns those of the other model that the task begins from; None for none, all are of `init`.

        Raises:
          InputError: They do not fit: one list of names and shapes.
        """
        if self._source is None:
            return None
        read, label = self._source
        like = self._init.eval_shape(jax.random.key(0))
        found = beginning(read(), like, label, fresh=self.fresh, unused=self.unused)
        self.begun = found.text
        return found.params

    def logical_axes(self) -> nnx.State:
        """Returns the names of the axes of each parameter."""
        return logical_axes(self.model(self._init.eval_shape(jax.random.key(0))))

    def loss(
        self,
        params: Params,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters = AS_MADE,
    ) -> LossAndMetrics:
        """Returns `loss_of` the model with these parameters, and to the loss adds what its layers cost.

        That is what parameters cost by themselves (`penalty`), and what layers leave while they read the
        batch (`in_training`), such as the loads of those that route. Without dropout, as in validation, the
        layers are not in training.
        """
        model = self.model(params)
        scope: AbstractContextManager[Losses] = nullcontext([]) if dropout is None else in_training()
        with scope as losses:
            loss, metrics = self.loss_of(model, batch, dropout=dropout, hyper=hyper)
        return loss + penalty(model) + sum(losses), metrics

    def held_out(self) -> Arrays:
        """Returns the examples of `validation`."""
        return self.validation

    def save(self, folder: Any) -> None:
        """Writes nothing: a trained run needs its parameters and its config alone."""

    def model(self, params: Params) -> Model:
        """Returns the model with these parameters."""
        model: Model = nnx.merge(self._graphdef, params)
        return model

    def infer(
        self,
        function: Callable[[Model, Any], Any],
        params: Params,
        arrays: Mapping[str, np.ndarray],
        *,
        rows: int | None = None,
    ) -> Any:
        """Returns function(model, arrays) on the host, computed in batches; each shape compiles once.

        Args:
          function: a method of the task, or another function that stays the same from call to call.
          params: the parameters of the model.
          arrays: any number of rows.
          rows: of a batch, whatever their number; None: a few sizes.
        """
        if function not in self._compiled:
            self._compiled[function] = jax.jit(lambda params, arrays: function(self.model(params), arrays))
        return in_batches(self._compiled[function], params, arrays, rows=rows)

    @cached_property
    def _init(self) -> Any:
        """`init`, which is traced once, however many programs it becomes a part of."""

        def init(key: Key[Array, ""]) -> Params:
            graphdef, params = nnx.split(self.build(nnx.Rngs(key)), nnx.Param)
            self._graphdefs.append(graphdef)
            return nnx.to_pure_dict(params)

        return jax.jit(init, inline=True)

    @cached_property
    def _graphdef(self) -> nnx.GraphDef[Model]:
        if not self._graphdefs:
            self._init.eval_shape(jax.random.key(0))
        return self._graphdefs[0]

    @cached_property
    def _graphdefs(self) -> list[nnx.GraphDef[Model]]:
        """The structure of the model, from the first time that `init` is traced."""
        return []

    @cached_property
    def _compiled(self) -> dict[Callable[..., Any], Callable[..., Any]]:
        return {}


def require_positions(config: Any, width: int, what: str) -> None:
    """Raises InputError where a model's learned positions are fewer than `what` ("the texts") needs."""
    require(
        config.positions != "learned" or width <= config.max_length,
        f"model.max_length is {config.max_length}: {what} need {width} learned positions",
    )
