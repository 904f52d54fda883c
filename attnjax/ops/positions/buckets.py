"""T5's buckets of distances."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Int

from attnjax.ops.positions.angles import integers


def relative_buckets(
    q_index: Int[ArrayLike, "*#T"],
    k_index: Int[ArrayLike, "*#T"],
    *,
    num_buckets: int = 32,
    max_distance: int = 128,
    bidirectional: bool = True,
) -> Int[Array, "*T"]:
    """Returns T5's bucket of the distance between query and key: exact when near, logarithmic when far.

    With n the distance |q - k| (one-directional: max(q - k, 0)), L buckets on a side and e = L // 2:
    n if n < e, else min(L - 1, e + floor((L - e)·log(n/e) / log(max_distance/e))). Bidirectional halves
    num_buckets into L for keys at or before the query and L for keys after it. The floor is exact.

    Args:
      q_index: integer positions of queries, in tokens.
      k_index: integer positions of keys, which broadcast against those of queries.
      num_buckets: rows of the bias table; even and at least 4 when bidirectional, at least 2 otherwise.
      max_distance: the distance in tokens from which on all share the last bucket.
      bidirectional: whether keys after the query have buckets of their own.

    Returns:
      The buckets in [0, num_buckets), int32, of the shape that the positions broadcast to.

    Raises:
      TypeError: an index is not integer.
      ValueError: num_buckets or max_distance do not fit.

    References:
      Raffel et al., Exploring the Limits of Transfer Learning with T5, 2020 (arXiv:1910.10683).

    Example:
      >>> relative_buckets(3, jnp.arange(6), num_buckets=8, max_distance=16)
      Array([2, 2, 1, 0, 5, 6], dtype=int32)
    """
    q_index, k_index = integers("q_index", q_index), integers("k_index", k_index)
    side, exact = _check_buckets(num_buckets, max_distance, bidirectional)
    q_index, k_index = jnp.broadcast_arrays(q_index, k_index)  # jax may be told to promote no ranks.
    distance = q_index - k_index
    after = jnp.int32(0)
    if bidirectional:
        after = jnp.where(distance < 0, side, 0).astype(jnp.int32)
        distance = jnp.abs(distance)
    bucket = jnp.clip(distance, 0, exact).astype(jnp.int32)
    for start in _logarithmic_starts(side, exact, max_distance):
        bucket += (distance >= start).astype(jnp.int32)
    return after + bucket


def _logarithmic_starts(side: int, exact: int, max_distance: int) -> list[int]:
    """Returns the n at which (side - exact)·log(n/exact) / log(max_distance/exact) is 1, 2, and so on."""
    steps = side - exact
    starts, n = [], exact
    for j in range(1, steps):
        while n**steps * exact**j < max_distance**j * exact**steps:
            n += 1
        starts.append(n)
    return starts


def _check_buckets(num_buckets: int, max_distance: int, bidirectional: bool) -> tuple[int, int]:
    """Returns the buckets on one side, and how many of them hold one distance each; raises on bad input."""
    if num_buckets < (4 if bidirectional else 2) or (bidirectional and num_buckets % 2):
        expected = "an even number of at least 4" if bidirectional else "at least 2"
        raise ValueError(f"num_buckets is {num_buckets}: expected {expected} (bidirectional={bidirectional})")
    side = num_buckets // 2 if bidirectional else num_buckets
    exact = side // 2
    if max_distance <= exact:
        raise ValueError(f"max_distance is {max_distance}: expected more than {exact}, the exact buckets")
    return side, exact
