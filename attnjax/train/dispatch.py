"""The chunks of a training, compiled and sent to the device one after another."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from attnjax.ops.engines.noted import noted_engines
from attnjax.train.config import TrainConfig
from attnjax.train.rows import touched_by
from attnjax.train.sharding import ShardingPlan
from attnjax.train.spans import Span, checkpoint_due
from attnjax.train.state import TrainState
from attnjax.train.step import make_train_chunk, traced_values

if TYPE_CHECKING:
    from attnjax.tasks.base import Task


Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class Chunk(NamedTuple):
    """A dispatched chunk: arrays that the device may still be computing."""

    end: int
    metrics: dict[str, jax.Array]
    snapshot: TrainState | None


def jitted_chunk(task: "Task", config: TrainConfig, like: TrainState, plan: ShardingPlan) -> Any:
    """Returns `make_train_chunk` of a task under `jax.jit`: the state is donated, and stays where it lies.

    Args:
      task: of the loss.
      config: of the training.
      like: the shapes and shardings of the state.
      plan: the shardings of all else; its `tracing` is the context in which the program is traced.
    """
    return jax.jit(
        make_train_chunk(task.loss, config, touched_by(task)),
        donate_argnums=0,
        out_shardings=(jax.tree.map(lambda x: x.sharding, like), plan.replicated),
    )


class Dispatcher:
    """Owns the state: each call runs one chunk and replaces it.

    A chunk of a length, or of shapes, that there was not before is compiled first. The first one is while the
    state is still being made: its program is found from the shapes.

    Args:
      task: of the loss.
      config: of the training.
      hyper: for the loss.
      seed: of the dropout.
      like: the shapes and shardings of the state.
      state: the state, once it is there.
      plan: the shardings of all else.
      on_compiled: gets the step that a new program begins at, the seconds that compiling it took, and the
        engines that compute its attention.
    """

    def __init__(
        self,
        task: "Task",
        config: TrainConfig,
        hyper: Mapping[str, float],
        seed: int,
        like: TrainState,
        state: "Future[TrainState]",
        plan: ShardingPlan,
        on_compiled: Callable[[int, float, Sequence[str]], None] = lambda step, seconds, engines: None,
    ) -> None:
        self._like, self._made = like, state
        self._config, self._plan = config, plan
        self._on_compiled, self._programs = on_compiled, dict[Shapes, Any]()
        self._traced = plan.put(traced_values(config, hyper))
        self._seed_key = plan.put(jax.random.key(seed))
        self._chunk = jitted_chunk(task, config, like, plan)
        self._copy = jax.jit(lambda state: jax.tree.map(jnp.copy, state))

    @cached_property
    def state(self) -> TrainState:
        """The present state."""
        return self._made.result()

    def __call__(self, span: Span, batches: dict[str, jax.Array]) -> Chunk:
        """Starts the chunk of a span, and returns it before it is computed."""
        shapes = _shapes(batches)
        with jax.transfer_guard("disallow"):
            if shapes not in self._programs:
                self._compile(span, batches)
            program = self._programs[shapes]
            self.state, metrics = program(self.state, batches, self._traced, self._seed_key)
            snapshot = self._copy(self.state) if checkpoint_due(span, self._config) else None
        return Chunk(span.end, metrics, snapshot)

    def _compile(self, span: Span, batches: dict[str, jax.Array]) -> None:
        began = time.monotonic()
        with noted_engines() as engines, self._plan.tracing():
            lowered = self._chunk.lower(self._like, batches, self._traced, self._seed_key)
        self._programs[_shapes(batches)] = lowered.compile()
        self._on_compiled(span.start, time.monotonic() - began, list(engines))


def _shapes(batches: Mapping[str, jax.Array]) -> Shapes:
    return tuple((name, array.shape) for name, array in batches.items())
