"""Decays that are constants, which retention and lightning attention share."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.core.dtypes import accumulation_dtype


def key_heads(key: Array) -> int:
    """Returns K, or 1 for a key that the recurrence will refuse."""
    return (*key.shape[-2:-1], 1)[0]


def constant(decay: Any, key: Array) -> Array:
    """Returns decays that do not turn float32 inputs into a float64 state."""
    return jnp.asarray(decay, accumulation_dtype(key))
