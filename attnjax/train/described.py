"""The program of a training on devices that are described: of shapes alone, no array is made."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax

from attnjax.train.beginning import names_of_axes, with_shardings
from attnjax.train.config import TrainConfig
from attnjax.train.dispatch import jitted_chunk
from attnjax.train.sharding import ShardingPlan
from attnjax.train.spans import next_span
from attnjax.train.state import TrainState, initial_state
from attnjax.train.step import traced_values

if TYPE_CHECKING:
    from attnjax.tasks.base import Task


class DescribedChunk(NamedTuple):
    """The first chunk of a training.

    Attributes:
      program: the jitted function of the arguments.
      state, batches, traced, seed_key: the shapes and shardings of its arguments.
      steps: that it runs.
      whole: a line for each axis of the mesh along which arrays stay whole that the rules mean to split.
    """

    program: Any
    state: TrainState
    batches: Any
    traced: Any
    seed_key: Any
    steps: int
    whole: list[str]

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The arguments of the program."""
        return self.state, self.batches, self.traced, self.seed_key


def describe_chunk(
    task: "Task", config: TrainConfig, hyper: Mapping[str, float], plan: ShardingPlan
) -> DescribedChunk:
    """Returns the first chunk of a training as `Dispatcher` would run it, of shapes alone.

    Of the data the batch of the first step is looked at. The program is to be traced in `plan.tracing()`.

    Args:
      task: of the loss.
      config: of the training.
      hyper: for the loss.
      plan: the mesh and the rules.

    Raises:
      InputError: the rules split nothing along an axis of the mesh.
    """
    key = jax.random.key(0)
    like = jax.eval_shape(functools.partial(initial_state, task, config), key)
    whole = plan.left_whole(like.params, names_of_axes(task, plan))
    state = with_shardings(like, task, plan)
    span = next_span(0, config)
    steps = span.end - span.start

    def replicated(tree: Any) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=plan.replicated), tree)

    return DescribedChunk(
        jitted_chunk(task, config, state, plan),
        state,
        plan.describe_batches(task.batch(0), steps),
        replicated(jax.eval_shape(lambda: traced_values(config, hyper))),
        replicated(jax.eval_shape(lambda: key)),
        steps,
        whole,
    )
