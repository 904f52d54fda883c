"""The lightning indexer of DeepSeek Sparse Attention: its scores, its choice and its loss."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attnjax.ops.core.checks import count as at_least_one
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.sparse.blocks import highest_set, ids_at, in_blocks

AT_ONCE = 128
"""Queries whose scores are held at a time."""
STAGES = 8
"""Parts of a text, each of which is scored against the keys up to its end."""


def index_scores(
    query: Float[Array, "*B T J I"], key: Float[Array, "*B S I"], gain: Float[Array, "*B T J"]
) -> Float[Array, "*B T S"]:
    """Returns the scores by which the lightning indexer ranks keys.

        I_ts = Σ_j w_tj · relu(q_tj·k_s) / √(J·I)

    Args:
      query: of the indexer's heads, [*B, T, J, I].
      key: one for all its heads, [*B, S, I].
      gain: w, [*B, T, J].

    Returns:
      [*B, T, S], in float32 or better.

    References:
      DeepSeek-AI, DeepSeek-V3.2: Pushing the Frontier of Open Large Language Models, 2025 (arXiv:2512.02556).

    Example:
      >>> index_scores(jnp.ones((2, 1, 4)), jnp.ones((3, 4)), jnp.array([[1.0], [-2.0]])).tolist()
      [[2.0, 2.0, 2.0], [-4.0, -4.0, -4.0]]
    """
    dtype = accumulation_dtype(query, key, gain)
    query, key, gain = (x.astype(dtype) for x in (query, key, gain))
    products = jax.nn.relu(jnp.einsum("...tji,...si->...jts", query, key))
    scale = 1 / math.sqrt(query.shape[-1] * query.shape[-2])
    return jnp.einsum("...jts,...tj->...ts", products, gain * scale)


def dsa_tokens(
    query: Float[Array, "*B T J I"],
    key: Float[Array, "*B S I"],
    gain: Float[Array, "*B T J"],
    count: int,
    *,
    positions: Int[Array, "*#B T"] | None = None,
    ids: Int[Array, "*#B S"] | None = None,
) -> Int[Array, "*B 1 T n"]:
    """Returns the keys that each query chooses: of those up to itself the highest by `index_scores`.

    Scores are held for `AT_ONCE` queries at a time. Of equal scores the first keys are chosen.

    Args:
      query: as in `index_scores`.
      key: as in `index_scores`.
      gain: as in `index_scores`.
      count: keys, at least 1. Where fewer come before a query the rest is -1.
      positions: of the queries among the keys; None: 0, 1, ….
      ids: of the keys' documents, below 0 for what is no token; None: all of one document.

    Returns:
      Indices [*B, 1, T, min(count, S)], as `chosen_blocks(…, (1, 1))` takes them: one list for all heads, in
      the order of the keys. No gradient.

    Raises:
      ValueError: count is below 1.

    References:
      DeepSeek-AI, DeepSeek-V3.2: Pushing the Frontier of Open Large Language Models, 2025 (arXiv:2512.02556).

    Example:
      >>> x = jnp.arange(4.0)[:, None]
      >>> dsa_tokens(jnp.ones((4, 1, 1)), x, jnp.ones((4, 1)), 2)[0].tolist()
      [[0, -1], [0, 1], [1, 2], [2, 3]]
    """
    count = at_least_one("count", count)
    *batch, queries, _, _ = query.shape
    place = jnp.arange(key.shape[-2], dtype=jnp.int32)
    ids = jnp.zeros_like(place) if ids is None else ids
    asked: Any = np.arange(queries, dtype=np.int32) if positions is None else positions
    query, key, gain = jax.lax.stop_gradient((query, key, gain))
    known = isinstance(asked, np.ndarray) and asked.ndim == 1
    at = jnp.broadcast_to(asked, (*batch, queries))
    own = jnp.broadcast_to(ids_at(ids, asked), (*batch, queries))

    def stage(first: int, last: int) -> Array:
        """The choice of some queries, among the keys up to the last of them where that is known."""
        keys = min(int(asked[last - 1]) + 1, place.size) if known else place.size
        near, of, docs = place[:keys], key[..., :keys, :], ids[..., None, :keys]

        def chosen(part: tuple[Array, Array, Array, Array]) -> Array:
            query, gain, at, own = part
            at, own = at[..., None], own[..., None]
            seen = (of_rank(near, at.ndim) <= at) & (of_rank(docs, own.ndim) == own) & (own >= 0)
            return highest_set(jnp.where(seen, index_scores(query, of, gain), -jnp.inf), count)

        axis = len(batch)
        parts = [jax.lax.slice_in_dim(x, first, last, axis=axis) for x in (query, gain, at, own)]
        parts = [jnp.moveaxis(in_blocks(x, min(AT_ONCE, last - first), axis=axis), axis, 0) for x in parts]
        found = jnp.moveaxis(jax.lax.map(chosen, tuple(parts)), 0, axis)
        found = found.reshape(*batch, -1, found.shape[-1])[..., : last - first, :]
        missing = min(count, place.size) - found.shape[-1]
        return jnp.pad(found, [(0, 0)] * (axis + 1) + [(0, missing)], constant_values=-1)

    step = max(AT_ONCE, -(-queries // STAGES)) if known else queries
    stages = [stage(first, min(first + step, queries)) for first in range(0, queries, step)]
    return jnp.concatenate(stages, axis=-2)[..., None, :, :]


def indexer_loss(scores: Float[Array, "*B T S"], weights: Float[Array, "*B N T S"]) -> Float[Array, "*B T"]:
    """Returns KL(p_t || softmax(I_t)) of each query: the indexer learns what attention looks at.

    p_t is the mean of the attention weights over the heads, and a constant. The softmax is over the keys with
    weight, so that the loss is the paper's for the dense warm-up and, with weights of the chosen keys, for
    the sparse stage.

    Args:
      scores: of `index_scores`, [*B, T, S].
      weights: of attention, 0 where a key is not seen, [*B, N, T, S].

    References:
      DeepSeek-AI, DeepSeek-V3.2: Pushing the Frontier of Open Large Language Models, 2025 (arXiv:2512.02556).

    Example:
      >>> weights = jnp.array([[[0.25, 0.75, 0.0]]])
      >>> bool(jnp.allclose(indexer_loss(jnp.log(jnp.array([[1.0, 3.0, 9.0]])), weights), 0, atol=1e-6))
      True
    """
    target = jax.lax.stop_gradient(weights.mean(axis=-3))
    seen = target > 0
    log_share = jax.nn.log_softmax(scores, axis=-1, where=seen)
    each = target * (jnp.log(jnp.where(seen, target, 1)) - jnp.where(seen, log_share, 0))
    return each.sum(axis=-1)
