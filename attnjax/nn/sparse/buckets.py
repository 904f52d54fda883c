"""Layers of attention inside of buckets: by rotations (Reformer), by centroids (Routing Transformer)."""

from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.attention.settings import Settings
from attnjax.nn.axes import named
from attnjax.nn.sparse.base import ChosenAttention, at_least_one
from attnjax.ops import masks
from attnjax.ops.sparse.buckets import bucket_tokens, lsh_buckets, nearest_centroids


class BucketAttention(ChosenAttention):
    """Attention of each query and head to itself and to the last keys of the query's bucket.

    Args:
      dim, heads: D and N.
      size: keys of a bucket that a query sees.
      settings: those of `SoftmaxAttention`.

    Raises:
      ValueError: As in `SoftmaxAttention`, or size is below 1.
    """

    def __init__(
        self, dim: int, heads: int, *, size: int, rngs: nnx.Rngs, **settings: Unpack[Settings]
    ) -> None:
        (self.size,) = at_least_one(size=size)
        super().__init__(dim, heads, rngs=rngs, **settings)

    def buckets(self, vectors: Array) -> Array:
        """Returns the buckets [*B, T, K, R] of queries or keys [*B, T, K, H]."""
        raise NotImplementedError

    def _narrowed(self, mask: Any, query: Array, source: KeysValues, given: MaskLike | None) -> Any:
        tokens = self._tokens(given, query.shape[-3], source.keys.shape[-3])
        index = bucket_tokens(
            self.buckets(query),
            self.buckets(source.keys),
            self.size,
            positions=tokens.positions,
            ids=tokens.ids,
        )
        return mask & masks.chosen_blocks(index, (1, 1))


class LSH(BucketAttention):
    """Attention to the last keys of the same bucket of locality-sensitive hashing, over several rounds.

    As in Reformer, but that queries and keys have projections of their own and are hashed alike; that a key
    found in several rounds counts once; and that instead of chunks of sorted tokens a query sees the last
    `size` keys of its bucket, so that nothing depends on later tokens. Rotations are fixed. Buckets have no
    gradient.

    Args:
      dim, heads: D and N.
      size: keys of a bucket that a query sees in each round.
      buckets: an even number.
      rounds: of hashing.
      seed: decides which rotations are drawn.
      settings: those of `SoftmaxAttention`.

    Raises:
      ValueError: As in `SoftmaxAttention`; size or rounds is below 1, or buckets odd or below 2.

    References:
      Kitaev et al., Reformer: The Efficient Transformer, 2020, arXiv:2001.04451.

    Example:
      >>> layer = LSH(8, 2, size=2, buckets=4, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 6, 8)), mask=masks.causal()).out.shape
      (1, 6, 8)
    """

    name = "lsh"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        size: int = 64,
        buckets: int = 16,
        rounds: int = 2,
        seed: int = 0,
        rngs: nnx.Rngs,
        **settings: Unpack[Settings],
    ) -> None:
        (rounds,) = at_least_one(rounds=rounds)
        if buckets < 2 or buckets % 2:
            raise ValueError(f"buckets is {buckets}: expected an even number of at least 2")
        super().__init__(dim, heads, size=size, rngs=rngs, **settings)
        self.shape, self.seed = (self.head_dim, rounds, buckets // 2), seed

    def buckets(self, vectors: Array) -> Array:
        """Returns the buckets of queries or keys."""
        return lsh_buckets(vectors, self.rotations().astype(vectors.dtype))

    def rotations(self) -> Array:
        """Returns the normally distributed numbers of all rounds, which are not learned."""
        return jax.random.normal(jax.random.key(self.seed), self.shape, jnp.float32)


class Routing(BucketAttention):
    """Attention to the last keys whose nearest centroid is that of the query.

    As in the Routing Transformer, but that a query sees the last `size` keys of its centroid instead of the
    tokens that the centroid likes best in the whole text, so that nothing depends on later tokens. The choice
    has no gradient: centroids learn from `attnjax.ops.sparse.routing_loss`, and else stay as they were drawn.

    Args:
      dim, heads: D and N.
      size: keys of a centroid that a query sees.
      centroids: the number of them.
      settings: those of `SoftmaxAttention`.

    Raises:
      ValueError: As in `SoftmaxAttention`; size or centroids is below 1.

    References:
      Roy et al., Efficient Content-Based Sparse Attention with Routing Transformers, 2020, arXiv:2003.05997.

    Example:
      >>> layer = Routing(8, 2, size=2, centroids=4, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 6, 8)), mask=masks.causal()).out.shape
      (1, 6, 8)
    """

    name = "routing"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        size: int = 64,
        centroids: int = 16,
        rngs: nnx.Rngs,
        **settings: Unpack[Settings],
    ) -> None:
        (centroids,) = at_least_one(centroids=centroids)
        super().__init__(dim, heads, size=size, rngs=rngs, **settings)
        dtype = settings.get("param_dtype", jnp.float32)
        start = nnx.initializers.normal(1.0)(rngs.params(), (centroids, self.head_dim), dtype)
        self.centroids = nnx.Param(start, **named("bucket", "head_dim"))

    def buckets(self, vectors: Array) -> Array:
        """Returns the centroids of queries or keys."""
        return nearest_centroids(vectors, self.centroids[...].astype(vectors.dtype))
