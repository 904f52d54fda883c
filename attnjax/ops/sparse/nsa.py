"""The choice of Native Sparse Attention."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.checks import count as at_least_one
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.sparse.blocks import highest


def nsa_blocks(
    weights: Float[Array, "*B N T blocks"],
    count: int,
    *,
    key_heads: int,
    size: int,
    positions: Int[Array, "*#B T"] | None = None,
) -> Int[Array, "*B K T n"]:
    """Returns the blocks of keys that each query chooses, one list for all heads that share a key head.

    In this order: the block that the query stands in, the one before it, the first one, and those to whose
    compressed keys the heads of the group give the most weight in all. What has no weight is not chosen.

    Args:
      weights: of the compressed keys, [*B, N, T, blocks], 0 for those that a query may not see.
      count: blocks in all, at least 1. Where there are fewer the rest is -1.
      key_heads: K, a divisor of N.
      size: of a block, in tokens.
      positions: of the queries among the keys; None: 0, 1, ….

    Returns:
      Indices [*B, K, T, min(count, blocks)], as `chosen_blocks(…, (1, size))` takes them. No gradient.

    Raises:
      ValueError: count or size is below 1.

    References:
      Yuan et al., Native Sparse Attention, 2025 (arXiv:2502.11089).

    Example:
      >>> weights = jnp.array([0.1, 0.2, 0.4, 0.3, 0.0]).reshape(1, 1, 5)
      >>> nsa_blocks(weights, 4, key_heads=1, size=2, positions=jnp.array([8])).tolist()
      [[[4, 3, 0, 2]]]
    """
    count, size = at_least_one("count", count), at_least_one("size", size)
    *batch, heads, queries, blocks = weights.shape
    positions = jnp.arange(queries, dtype=jnp.int32) if positions is None else positions
    own = (positions // size)[..., None, :, None]
    place = jnp.arange(blocks, dtype=jnp.int32)
    scores = weights.reshape(*batch, key_heads, heads // key_heads, queries, blocks).sum(axis=-3)
    own, place = of_rank(own, scores.ndim), of_rank(place, scores.ndim)
    scores = jnp.where((place < own) & (scores > 0), scores, -jnp.inf)
    # No sum of weights exceeds the number of heads.
    for rank, always in enumerate((place == 0, place == own - 1, place == own)):
        scores = jnp.where(always & (place <= own), heads + 1.0 + rank, scores)
    return highest(scores, count)
