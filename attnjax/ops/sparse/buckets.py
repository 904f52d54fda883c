"""Keys in buckets, by rotations or by the nearest centroid: a query looks at the last ones of its own."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.checks import count as at_least_one
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.sparse.blocks import ids_at


def lsh_buckets(
    vectors: Float[Array, "*B T K H"], rotations: Float[Array, "H R half"]
) -> Int[Array, "*B T K R"]:
    """Returns the bucket of each vector in each round of locality-sensitive hashing.

        bucket = argmax of [x Ω, -x Ω]

    Vectors of a small angle often share a bucket, whatever their lengths. A bucket has no gradient.

    Args:
      vectors: [*B, T, K, H].
      rotations: Ω of each of R rounds, normally distributed: [H, R, half the number of buckets].

    References:
      Kitaev et al., Reformer: The Efficient Transformer, 2020 (arXiv:2001.04451).

    Example:
      >>> rotations = jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]])
      >>> lsh_buckets(jnp.array([[[2.0, 1.0]], [[0.0, -3.0]]]), rotations).ravel().tolist()
      [0, 3]
    """
    turned = jnp.einsum("...kh,hrm->...krm", *jax.lax.stop_gradient((vectors, rotations)))
    return jnp.concatenate([turned, -turned], axis=-1).argmax(axis=-1).astype(jnp.int32)


def nearest_centroids(
    vectors: Float[Array, "*B T K H"], centroids: Float[Array, "C H"]
) -> Int[Array, "*B T K 1"]:
    """Returns the centroid of the smallest angle to each vector. It has no gradient.

    Args:
      vectors: [*B, T, K, H].
      centroids: [C, H].

    References:
      Roy et al., Efficient Content-Based Sparse Attention with Routing Transformers, 2020 (arXiv:2003.05997).

    Example:
      >>> nearest_centroids(jnp.array([[[2.0, 1.0]]]), jnp.array([[0.0, 5.0], [1.0, 0.0]])).tolist()
      [[[1]]]
    """
    vectors, centroids = jax.lax.stop_gradient((vectors, centroids))
    products = jnp.einsum("...h,ch->...c", vectors, _unit(centroids))
    return products.argmax(axis=-1, keepdims=True).astype(jnp.int32)


def routing_loss(vectors: Float[Array, "*B T K H"], centroids: Float[Array, "C H"]) -> Float[Array, "*B T K"]:
    """Returns 1 - cos of each vector, a constant, and its nearest centroid, which moves towards it.

    The paper moves centroids by a running mean of their vectors; a gradient step on this does alike.

    Args:
      vectors: queries or keys, [*B, T, K, H].
      centroids: [C, H].

    References:
      Roy et al., Efficient Content-Based Sparse Attention with Routing Transformers, 2020 (arXiv:2003.05997).

    Example:
      >>> float(routing_loss(jnp.array([[[2.0, 0.0]]]), jnp.array([[3.0, 0.0], [0.0, 1.0]]))[0, 0])
      0.0
    """
    vectors = _unit(jax.lax.stop_gradient(vectors))
    return 1 - jnp.einsum("...h,ch->...c", vectors, _unit(centroids)).max(axis=-1)


def bucket_tokens(
    query_buckets: Int[Array, "*B T N R"],
    key_buckets: Int[Array, "*B S K R"],
    size: int,
    *,
    positions: Int[Array, "*#B T"] | None = None,
    ids: Int[Array, "*#B S"] | None = None,
) -> Int[Array, "*B N T n"]:
    """Returns the keys that each query and head looks at: itself, and the last ones of its bucket.

    Of every round the last `size` keys, up to the query itself, that are in the query's bucket. The papers
    cut sorted tokens into chunks, or let centroids take the best tokens of the whole text; then what a token
    sees depends on later ones.

    Args:
      query_buckets: of R rounds, [*B, T, N, R].
      key_buckets: alike, [*B, S, K, R], N divisible by K.
      size: keys of each round, at least 1.
      positions: of the queries among the keys; None: 0, 1, ….
      ids: of the keys' documents, below 0 for what is no token; a document's keys follow each other. None:
        all of one document.

    Returns:
      Indices [*B, N, T, 1 + R·size], as `chosen_blocks(…, (1, 1))` takes them, -1 for none; a key may come up
      in several rounds. No gradient.

    Raises:
      ValueError: size is below 1.

    References:
      Kitaev et al., Reformer: The Efficient Transformer, 2020 (arXiv:2001.04451).
      Roy et al., Efficient Content-Based Sparse Attention with Routing Transformers, 2020 (arXiv:2003.05997).

    Example:
      >>> buckets = jnp.array([0, 1, 0, 0])[:, None, None]
      >>> bucket_tokens(buckets, buckets, 2)[0].tolist()
      [[0, 0, -1], [1, 1, -1], [2, 2, 0], [3, 3, 2]]
    """
    size = at_least_one("size", size)
    *batch, keys, groups, rounds = key_buckets.shape
    queries, heads = query_buckets.shape[-3:-1]
    place = jnp.arange(keys, dtype=jnp.int32)
    positions = place[:queries] if positions is None else positions
    ids = jnp.zeros_like(place) if ids is None else ids
    lists = (*batch, heads, rounds)
    at = jnp.broadcast_to(
        jnp.broadcast_to(positions, (*batch, queries))[..., None, None, :], (*lists, queries)
    )
    of_query = jnp.moveaxis(query_buckets, -3, -1)
    of_key = jnp.repeat(jnp.moveaxis(key_buckets, -3, -1), heads // groups, axis=-3)
    ordered = jnp.sort(of_key * keys + of_rank(place, of_key.ndim), axis=-1).reshape(-1, keys)
    last = jax.vmap(lambda row, code: jnp.searchsorted(row, code, side="right"))(
        ordered, (of_query * keys + at).reshape(-1, queries)
    ).reshape(*lists, queries, 1)
    rank = last - 1 - of_rank(jnp.arange(size, dtype=jnp.int32), last.ndim)
    found = jnp.take_along_axis(
        ordered.reshape(*lists, keys), rank.clip(0).reshape(*lists, -1), axis=-1
    ).reshape(rank.shape)
    token = found % keys
    documents = jnp.broadcast_to(ids, (*batch, keys))[..., None, None, :]
    of_token = jnp.take_along_axis(
        jnp.broadcast_to(documents, (*lists, keys)), token.reshape(*lists, -1), axis=-1
    ).reshape(token.shape)
    own = jnp.broadcast_to(ids_at(ids, positions), (*batch, queries))[..., None, None, :, None]
    fits = (rank >= 0) & (found // keys == of_query[..., None]) & (of_token == own)
    token = jnp.moveaxis(jnp.where(fits, token, -1), -3, -2).reshape(*batch, heads, queries, -1)
    return jnp.concatenate([at[..., 0, :, None], token], axis=-1).astype(jnp.int32)


def _unit(x: Array) -> Array:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True).clip(1e-12)
