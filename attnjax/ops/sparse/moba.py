"""The choice of Mixture of Block Attention."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.checks import count as at_least_one
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.sparse.blocks import blocks_of, highest, ids_at, in_blocks


def moba_blocks(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    size: int,
    count: int,
    *,
    positions: Int[Array, "*#B T"] | None = None,
    ids: Int[Array, "*#B S"] | None = None,
) -> Int[Array, "*B N T n"]:
    """Returns the blocks of keys that each query and head chooses: its own, and the best of those before.

        score of block b = q · mean of the keys in b

    Under causal attention: the block that a query stands in always counts as the first of `count`, and only
    blocks before it are scored. Of a block in which a document begins, the mean is of the document's keys.

    Args:
      query: [*B, T, N, H].
      key: [*B, S, K, H], N divisible by K.
      size: of a block, in tokens.
      count: blocks, at least 1. Where fewer come before a query the rest is -1.
      positions: of the queries among the keys; None: 0, 1, ….
      ids: of the keys' documents, below 0 for what is no token; None: all of one document.

    Returns:
      Indices [*B, N, T, min(count, ⌈S/size⌉)], as `chosen_blocks(…, (1, size))` takes them. No gradient.

    Raises:
      ValueError: size or count is below 1.

    References:
      Lu et al., MoBA: Mixture of Block Attention for Long-Context LLMs, 2025 (arXiv:2502.13189).

    Example:
      >>> key = jnp.array([1.0, 1.0, 3.0, 3.0, 2.0, 2.0, 0.0]).reshape(7, 1, 1)
      >>> moba_blocks(jnp.ones((7, 1, 1)), key, 2, 2)[0, 4:].tolist()
      [[2, 1], [2, 1], [3, 1]]
    """
    size, count = at_least_one("size", size), at_least_one("count", count)
    tokens = jnp.arange(key.shape[-3], dtype=jnp.int32)
    positions = tokens[: query.shape[-3]] if positions is None else positions
    ids = jnp.zeros_like(tokens) if ids is None else ids
    blocks = blocks_of(ids, size)
    dtype = accumulation_dtype(query, key)
    members = blocks.members[..., None, None]
    sums = jnp.where(members, in_blocks(key, size, axis=-3).astype(dtype), 0).sum(axis=-3)
    means = sums / of_rank(jnp.maximum(members.sum(axis=-3), 1), sums.ndim).astype(dtype)
    grouped = query.reshape(*query.shape[:-2], key.shape[-2], -1, query.shape[-1]).astype(dtype)
    scores = jnp.einsum("...tkgh,...bkh->...kgtb", grouped, means)
    scores = scores.reshape(*scores.shape[:-4], -1, *scores.shape[-2:])
    of_block, of_query = blocks.ids[..., None, :], ids_at(ids, positions)[..., None]
    rank = max(of_block.ndim, of_query.ndim)
    own = of_rank((positions // size)[..., None], rank)
    place = of_rank(jnp.arange(blocks.ids.shape[-1], dtype=jnp.int32), rank)
    before = (place < own) & (of_rank(of_block, rank) == of_rank(of_query, rank))
    scores = jnp.where(before[..., None, :, :], scores, -jnp.inf)
    return highest(jnp.where((place == own)[..., None, :, :], jnp.inf, scores), count)
