"""The highest values and their places."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

GROUP = 64
"""Values of which the highest one is found first."""
MANY = 4
"""Groups for each value that is asked for, below which finding them first saves nothing."""


def largest(x: Float[Array, "*B N"], count: int) -> tuple[Float[Array, "*B k"], Int[Array, "*B k"]]:
    """Returns `jax.lax.top_k(x, count)`: the highest values and their indices, of equal ones the first.

    The highest k lie in the k groups with the highest ones. XLA's CPU looks at each pair of value and index:
    over a vocabulary this way takes a third to two thirds of its time.

    Example:
      >>> print(*largest(jnp.array([1.0, 3.0, 2.0, 3.0]), 3))
      [3. 3. 2.] [1 3 2]
    """
    size = x.shape[-1]
    if size < MANY * count * GROUP:
        return jax.lax.top_k(x, count)
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -size % GROUP)], constant_values=-jnp.inf)
    groups = padded.reshape(*x.shape[:-1], -1, GROUP)
    _, chosen = jax.lax.top_k(groups.max(-1), count)
    # In their order, so that of equal values the first stays the first.
    chosen = jnp.sort(chosen, axis=-1)
    members = jnp.take_along_axis(groups, chosen[..., None], axis=-2)
    values, at = jax.lax.top_k(members.reshape(*x.shape[:-1], count * GROUP), count)
    return values, jnp.take_along_axis(chosen, at // GROUP, axis=-1) * GROUP + at % GROUP
