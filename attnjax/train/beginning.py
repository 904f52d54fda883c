"""The state that a training begins or goes on with, made or read where each of its arrays lies."""

import functools
import logging
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import jax

from attnjax.tasks.base import NamesAxes
from attnjax.tasks.rehearsal import given_params
from attnjax.train.adapters import unmerged
from attnjax.train.checkpoint import Checkpoints
from attnjax.train.config import TrainConfig
from attnjax.train.distributed import hosts
from attnjax.train.sharding import ShardingPlan, place_part
from attnjax.train.state import TrainState, initial_state

if TYPE_CHECKING:
    from attnjax.tasks.base import Task

logger = logging.getLogger(__name__)


def names_of_axes(task: "Task", plan: ShardingPlan) -> Any:
    """Returns the names of the axes of a task's parameters; None where nobody reads or gives them."""
    return task.logical_axes() if plan.splits and isinstance(task, NamesAxes) else None


def with_shardings(like: TrainState, task: "Task", plan: ShardingPlan) -> TrainState:
    """Returns the shapes of a state with the sharding of each array."""
    shardings = plan.state(like, like.params, names_of_axes(task, plan))
    return jax.tree.map(lambda x, own: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=own), like, shardings)


def restore_or_init(
    task: "Task",
    config: TrainConfig,
    seed: int,
    plan: ShardingPlan,
    checkpoints: Checkpoints,
    thread: Executor,
) -> tuple[int, TrainState, "Future[TrainState]"]:
    """Returns the step to go on from, the shapes of the state, and the state, once it is made.

    A new state is made by one program, in which each device makes its own part. One from a checkpoint is read
    so too, whatever mesh it was saved on. A warning names what the rules mean to split and leave whole.

    Raises:
      InputError: the rules split nothing along an axis of the mesh, or a checkpoint is of another model.
    """
    make, key = functools.partial(initial_state, task, config), jax.random.key(seed)
    like = jax.eval_shape(make, key, None)  # With all arguments, as below: it is traced once.
    for line in plan.left_whole(like.params, names_of_axes(task, plan)):
        logger.warning(line)
    placed = with_shardings(like, task, plan)
    checkpoints.require_alike(placed)
    if restored := checkpoints.restore(placed):
        state: Future[TrainState] = Future()
        state.set_result(restored[1])
        return restored[0], placed, state
    shardings = jax.tree.map(lambda x: x.sharding, placed)
    given = given_params(task)
    if given is not None:
        given = place_part(given, unmerged(shardings.params))
    # Traced here, where JAX's settings are those of the caller; the thread compiles.
    lowered = jax.jit(make, out_shardings=shardings).lower(key, given)
    made = thread.submit(lambda: lowered.compile()(key, given))
    if hosts().count > 1:
        made.result()  # All hosts begin what their devices do together in one order.
    return 0, placed, made
