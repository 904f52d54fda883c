"""Learning-rate schedules by name, relative to the peak."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from attnjax.train.config import TrainConfig

COOLDOWN = 0.2
"""Share of the steps in which a trapezoid ("wsd") falls to 0."""


def schedule(step: Int[Array, ""], config: TrainConfig) -> Float[Array, ""]:
    """Returns the learning rate of an update as a share of its peak.

    All begin with a linear warm-up: update 0 has 1/warmup_steps, so that no update has a rate of 0. Then

        cosine        half a cosine, towards 0 after the last step (arXiv:1608.03983)
        linear        a line, towards 0 after the last step
        wsd           1, and in the last fifth of the steps a line towards 0 (arXiv:2404.06395)
        constant      1
        inverse_sqrt  √(warmup_steps / step) (arXiv:1706.03762)

    Args:
      step: of the update, counted from 0.
      config: its `schedule`, `steps` and `warmup_steps` are read.

    Example:
      >>> config = TrainConfig(steps=10, warmup_steps=2, schedule="linear")
      >>> print([round(float(schedule(jnp.int32(step), config)), 2) for step in range(10)])
      [0.5, 1.0, 0.89, 0.78, 0.67, 0.56, 0.44, 0.33, 0.22, 0.11]
    """
    update, warmup, end = step + 1, config.warmup_steps, config.steps + 1
    if config.schedule == "cosine":
        unit = optax.schedules.warmup_cosine_decay_schedule(0.0, 1.0, warmup, end)
        return jnp.asarray(unit(update.astype(jnp.float32)))
    rising = jnp.minimum(1.0, update / max(warmup, 1))
    if config.schedule == "constant":
        return rising
    if config.schedule == "inverse_sqrt":
        return rising * jnp.minimum(1.0, jnp.sqrt(max(warmup, 1) / update))
    falls_from = warmup if config.schedule == "linear" else max(warmup, round((1 - COOLDOWN) * end))
    return rising * jnp.minimum(1.0, (end - update) / (end - falls_from))
