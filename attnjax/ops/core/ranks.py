"""Ranks written out, for those who forbid jax to add axes by itself (`jax_numpy_rank_promotion`)."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array


def of_rank(x: Any, ndim: int) -> Array:
    """Returns x with axes of length 1 before its own, so many axes in all.

    >>> of_rank(jnp.ones(3), 2).shape
    (1, 3)
    """
    return jnp.expand_dims(x, tuple(range(ndim - jnp.ndim(x))))
