"""The training state: a plain pytree, which can be jitted, saved, mapped and sharded."""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from attnjax.train.adapters import adapted, merged
from attnjax.train.config import TrainConfig
from attnjax.train.optimizer import init_optimizer, widened
from attnjax.train.rngs import Stream, stream_key

if TYPE_CHECKING:
    from attnjax.tasks.base import Params, Task


class TrainState(NamedTuple):
    """The state after `step` updates; `ema` is None for a run without an average of the parameters."""

    step: Int[Array, ""]
    params: Any
    opt_state: Any
    ema: Any


def initial_state(
    task: "Task", config: TrainConfig, seed_key: Key[Array, ""], given: "Params | None" = None
) -> TrainState:
    """Returns the state of a run before its first update; traceable.

    Args:
      task: makes the parameters, with a key of their own.
      config: of the training.
      seed_key: of the run.
      given: parameters in place of those that the task makes, from `tasks.rehearsal.given_params`.
    """
    key = stream_key(seed_key, Stream.INIT)
    params = task.init(key)
    params = params if given is None else _overlaid(params, given)
    return init_state(adapted(params, config.adapter, key), config)


def init_state(params: Any, config: TrainConfig) -> TrainState:
    """Returns the state before the first update; an average starts as a copy in at least float32."""
    average = widened(params) if config.ema_decay > 0 else None
    return TrainState(jnp.zeros((), jnp.int32), params, init_optimizer(params, config), average)


def evaluation_params(state: TrainState) -> Any:
    """The parameters that are validated, evaluated and handed on, with adapters merged."""
    return merged(latest_params(state))


def latest_params(state: TrainState) -> Any:
    """The parameters as they are trained, or the average of them where the run keeps one."""
    return state.params if state.ema is None else state.ema


def with_latest_params(state: TrainState, params: Any) -> TrainState:
    """Returns the state with these in the place of `latest_params`."""
    return state._replace(params=params) if state.ema is None else state._replace(ema=params)


def count_parameters(params: Any) -> int:
    """Returns the number of entries in the arrays of a tree.

    >>> count_parameters({"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(3)})
    9
    """
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def update_ema(ema: Any, params: Any, decay: Array, step: Int[Array, ""]) -> Any:
    """`d·ema + (1 − d)·params` with d = min(decay, (1 + step) / (10 + step)).

    The ramp keeps the random initial parameters from staying in the average (as in TensorFlow's
    ExponentialMovingAverage with `num_updates`).
    """
    d = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(
        lambda old, new: (d * old + (1 - d) * new.astype(old.dtype)).astype(old.dtype), ema, params
    )


def _overlaid(params: Any, given: Any) -> Any:
    """Returns the parameters with the given ones in the place of theirs."""
    if not isinstance(params, dict):
        return given
    return {name: _overlaid(own, given[name]) if name in given else own for name, own in params.items()}
