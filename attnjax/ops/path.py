"""Scores between which stand products of Householder-like matrices of the tokens between query and key."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.triangular import unit_lower_inverse

CHUNK = 64


def path_scores(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    direction: Float[Array, "*B T K H"],
    strength: Float[Array, "*B T K"],
    *,
    chunk: int = CHUNK,
) -> tuple[Float[Array, "*B N T T"], Float[Array, "*B T N H"]]:
    """Returns s_ij = q_i·M_i ⋯ M_{j+1} k_j with M_l = I - β_l w_l w_lᵀ for j ≤ i, and q_iᵀ M_i ⋯ M_0.

    Of chunks of tokens the product is I - Wᵀ A W with A = (I + β⊙tril(W Wᵀ, -1))⁻¹ β: from the last chunk to
    the first, queries are led through one after the other.

    Args:
      query: of all tokens.
      key: of the same tokens.
      direction: w, of length 1 where M shall turn or shrink and nothing else.
      strength: β, in [0, 2] for that.
      chunk: tokens of a chunk; it does not change the result.

    Returns:
      The scores, in float32 or better, which mean nothing for j > i; and the queries as they meet keys that
      stand before all these tokens.

    References:
      Yang et al., PaTH Attention: Position Encoding via Accumulating Householder Transformations, 2025,
      arXiv:2505.16381.

    Example:
      >>> x = jnp.ones((3, 1, 2))
      >>> scores, moved = path_scores(x, x, x / 2**0.5, jnp.ones((3, 1)))
      >>> scores.shape, moved.shape  # Each M takes away what lies along w, which is all:
      ((1, 3, 3), (3, 1, 2))
      >>> print(jnp.abs(jnp.tril(scores[0], -1)).max() < 1e-6)
      True
    """
    batch, (tokens, heads, size), groups = query.shape[:-3], query.shape[-3:], key.shape[-2]
    dtype = accumulation_dtype(query, key, direction, strength)
    chunk = min(chunk, max(tokens, 1))
    missing = -tokens % chunk

    def laid_out(x: Array, axes: tuple[int, ...]) -> Array:
        """Returns [B, T, K, …] as [B·K, T, …], padded with zeros to whole chunks."""
        x = jnp.moveaxis(x.astype(dtype).reshape(-1, tokens, groups, *axes), 2, 1)
        return jnp.pad(x.reshape(-1, tokens, *axes), [(0, 0), (0, missing), *[(0, 0)] * len(axes)])

    shared = heads // groups
    operands = (
        laid_out(query, (shared, size)),
        laid_out(key, (size,)),
        laid_out(direction, (size,)),
        laid_out(strength, ()),
    )
    scores, moved = jax.vmap(functools.partial(_of_head, chunk=chunk))(*operands)
    scores = scores[:, :tokens, :, :tokens].reshape(-1, groups, tokens, shared, tokens)
    scores = jnp.moveaxis(scores, 3, 2).reshape(*batch, heads, tokens, tokens)
    moved = jnp.moveaxis(moved[:, :tokens].reshape(-1, groups, tokens, shared, size), 1, 2)
    return scores, moved.reshape(*batch, tokens, heads, size)


def _of_head(
    query: Array, key: Array, direction: Array, strength: Array, *, chunk: int
) -> tuple[Array, Array]:
    """Returns the scores [T, G, T] and the moved queries [T, G, H] of one head of keys."""
    tokens = len(key)

    def cut(x: Array) -> Array:
        return x.reshape(-1, chunk, *x.shape[1:])

    at = jnp.arange(tokens, dtype=jnp.int32)

    def step(query: Array, part: tuple[Array, ...]) -> tuple[Array, Array]:
        first, keys, w, beta = part
        product = beta[:, None] * jnp.tril(w @ w.T, -1)
        inverse = unit_lower_inverse(product) * beta[None]
        passed = at[:, None] >= first + at[None, :chunk]
        met = jnp.where(passed[:, None], query @ w.T, 0) @ inverse
        scores = query @ keys.T - met @ jnp.tril(w @ keys.T, -1)
        return query - met @ w, scores

    firsts = jnp.arange(0, tokens, chunk, dtype=jnp.int32)
    moved, scores = jax.lax.scan(step, query, (firsts, cut(key), cut(direction), cut(strength)), reverse=True)
    return jnp.moveaxis(scores, 0, 2).reshape(*query.shape[:2], tokens), moved


def moved_keys(
    keys: Float[Array, "*B S K H"],
    direction: Float[Array, "*B T K H"],
    strength: Float[Array, "*B T K"],
    at: Int[Array, "*B T"],
) -> Float[Array, "*B S K H"]:
    """Returns M_T ⋯ M_1 k_j for the keys in the slots j before each of the tokens, which stand in slots `at`.

    So that a later query meets a key of a cache by a product alone.

    Args:
      keys: of all slots.
      direction: w of the tokens.
      strength: β of the tokens; 0 leaves keys as they are.
      at: the slot of each token.
    """
    slots = of_rank(jnp.arange(keys.shape[-3], dtype=jnp.int32), at.ndim)

    def step(keys: Array, token: tuple[Array, Array, Array]) -> tuple[Array, None]:
        w, beta, slot = token
        along = jnp.einsum("...skh,...kh->...sk", keys, w) * beta[..., None, :]
        along = jnp.where((slots < slot[..., None])[..., None], along, 0)
        return keys - along[..., None] * w[..., None, :, :], None

    dtype = accumulation_dtype(keys, direction, strength)
    tokens = (
        jnp.moveaxis(direction.astype(dtype), -3, 0),
        jnp.moveaxis(strength.astype(dtype), -2, 0),
        jnp.moveaxis(at, -1, 0),
    )
    return jax.lax.scan(step, keys.astype(dtype), tokens)[0].astype(keys.dtype)
