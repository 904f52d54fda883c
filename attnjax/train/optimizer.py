"""AdamW with clipping and a warm-up + cosine schedule, built inside the step from traced hyperparameters.

A learning rate in a closure would be a constant of the program: every trial of a sweep would compile anew.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from attnjax.config import traced_fields
from attnjax.train.config import TrainConfig

Hyperparameters = Mapping[str, Float[Array, ""]]


def hyperparameters(config: TrainConfig) -> dict[str, Float[Array, ""]]:
    """The traced fields of a training configuration as arrays."""
    return {name: jnp.asarray(value, jnp.float32) for name, value in traced_fields(config).items()}


def schedule(step: Int[Array, ""], config: TrainConfig) -> Float[Array, ""]:
    """The unit schedule: linear from 1/warmup_steps to 1, then 1, or a cosine towards 0 after the last step.

    Update 0 uses schedule(1) of optax, so that no update has a rate of zero.
    """
    if config.schedule == "constant":
        return jnp.minimum(1.0, (step + 1) / max(config.warmup_steps, 1))
    unit = optax.schedules.warmup_cosine_decay_schedule(0.0, 1.0, config.warmup_steps, config.steps + 1)
    return jnp.asarray(unit((step + 1).astype(jnp.float32)))


def init_optimizer(params: Any) -> optax.OptState:
    """The optimiser's state: moments of at least float32."""
    zero = dict.fromkeys(("clip_norm", "beta1", "beta2", "weight_decay"), jnp.zeros(()))
    return _adamw(zero).init(widened(params))


def update_params(
    params: Any,
    grads: Any,
    opt_state: optax.OptState,
    hyper: Hyperparameters,
    learning_rate: Float[Array, ""],
) -> tuple[Any, optax.OptState]:
    """One update: clip by the global norm, Adam, decoupled weight decay of the matrices.

    params ← params − learning_rate · (m̂ / (√v̂ + 1e-8) + weight_decay · params). Loshchilov and Hutter, 2019.
    """
    updates, opt_state = _adamw(hyper).update(widened(grads), opt_state, widened(params))
    updates = jax.tree.map(lambda update: -learning_rate * update, updates)
    return optax.apply_updates(params, updates), opt_state


def widened(tree: Any) -> Any:
    """Returns copies of the arrays in at least float32, for sums that small terms are added to.

    In bfloat16 256 + 1 is 256, and what moves by less than 1/256 of itself stands still.
    """
    return jax.tree.map(lambda x: jnp.array(x, jnp.promote_types(x.dtype, jnp.float32)), tree)


def decays(params: Any) -> Any:
    """True for each leaf that weight decay applies to: matrices, but neither biases nor a norm's scales."""

    def decay(path: tuple[Any, ...], leaf: Array) -> bool:
        names = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        return leaf.ndim >= 2 and not any(name.endswith(("bias", "scale")) for name in names)

    return jax.tree_util.tree_map_with_path(decay, params)


def _adamw(hyper: Hyperparameters) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(hyper["clip_norm"]),
        optax.scale_by_adam(hyper["beta1"], hyper["beta2"]),
        optax.add_decayed_weights(hyper["weight_decay"], mask=decays),
    )
