"""The delta rule, which several members share."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.linear.attention import linear_attention
from attnjax.ops.linear.call import log_decay
from attnjax.ops.linear.members.common import (
    Options,
    at_least_float32,
    not_negative,
)


def delta_rule(
    query: Array,
    key: Array,
    value: Array,
    strength: Array,
    decay: Array | None,
    scale: Any,
    options: Options,
    feedback: Array | None = None,
) -> Any:
    """Returns the delta rule after the decay, whose erasing key is `feedback` times the key.

    What it erases is read before the decay, which therefore joins the erasing key.
    """
    erase = at_least_float32(key) if feedback is None else feedback * at_least_float32(key)
    if decay is not None:
        kept = jnp.exp(at_least_float32(log_decay("decay", decay)))
        erase = (kept if kept.ndim == key.ndim else kept[..., None]) * erase
    written = not_negative("strength", strength)[..., None] * at_least_float32(key)
    return linear_attention(query, written, value, decay=decay, erase=erase, scale=scale, **options)
