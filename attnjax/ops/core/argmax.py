"""The index of the highest value."""

import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped

from attnjax.ops.core.ranks import of_rank

_EXACT = 2**24
"""Float32 tells all smaller integers apart."""


def argmax(x: Shaped[Array, "*B N"]) -> Int[Array, " *B"]:
    """Returns `jnp.argmax(x, axis=-1)`: the index of the first highest value, or of the first NaN.

    XLA's CPU compares its pairs of value and index one by one. This takes a maximum and a minimum, in a
    quarter to a ninth of the time over a vocabulary.

    Example:
      >>> print(argmax(jnp.array([[1.0, 3.0, 3.0], [2.0, 0.0, 1.0]])))
      [1 0]
    """
    size = x.shape[-1]
    if not 0 < size < _EXACT:
        return jnp.argmax(x, axis=-1).astype(jnp.int32)
    found = (x == x.max(axis=-1, keepdims=True)) | (x != x)
    places = of_rank(jnp.arange(size, dtype=jnp.float32), x.ndim)
    return jnp.where(found, places, jnp.inf).min(axis=-1).astype(jnp.int32)
