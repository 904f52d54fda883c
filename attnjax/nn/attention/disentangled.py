"""Disentangled attention: scores of contents with contents, and of contents with distances both ways."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.axes import named
from attnjax.nn.norm import make_norm
from attnjax.ops import scores


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Distances:
    """The vectors of distances, which every layer of a stack projects with its own queries and keys.

    Attributes:
      vectors: of each bucket, from the farthest key after the query to the farthest before it.
      bucket: of each pair of places.
    """

    vectors: Float[Array, "2S D"]
    bucket: Int[Array, "T T"]


class DistanceTable(nnx.Module):
    """A normed table of vectors of distances; far ones share a vector, in logarithmic buckets.

    Args:
      dim: D.
      buckets: S, of either side; the S/2 nearest distances have one each.
      max_distance: from which on all are in the last bucket.
      eps: of the LayerNorm.
      dtype: of the norm.
      param_dtype: of the parameters.
      rngs: draws the table, N(0, 0.02²).

    References:
      He et al., DeBERTa, 2020, arXiv:2006.03654.
      He et al., DeBERTaV3, 2021, arXiv:2111.09543 (buckets).

    Example:
      >>> table = DistanceTable(4, 2, 8, rngs=nnx.Rngs(0))
      >>> table(3).bucket.tolist()
      [[2, 1, 1], [3, 2, 1], [3, 3, 2]]
    """

    def __init__(
        self,
        dim: int,
        buckets: int,
        max_distance: int,
        *,
        eps: float = 1e-7,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.buckets = buckets
        self.max_distance = max_distance
        start = nnx.initializers.normal(0.02)(rngs.params(), (2 * buckets, dim), param_dtype)
        self.table = nnx.Param(start, **named("bucket", "embed"))
        self.norm = make_norm("layer", dim, eps=eps, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def __call__(self, tokens: int) -> Distances:
        """Returns the vectors, and the bucket of each pair of so many tokens."""
        at = np.arange(tokens)
        own = signed_buckets(at[:, None] - at, self.buckets, self.max_distance) + self.buckets
        return Distances(self.norm(self.table[...]), jnp.asarray(np.clip(own, 0, 2 * self.buckets - 1)))


def signed_buckets(distance: np.ndarray, buckets: int, max_distance: int) -> np.ndarray:
    """Returns the buckets of distances: themselves up to half of the buckets, logarithms beyond that.

    Example:
      >>> signed_buckets(np.array([0, 2, 4, 9, 99, -99]), 8, 100).tolist()
      [0, 2, 4, 5, 7, -7]
    """
    middle = buckets // 2
    size = np.maximum(np.abs(distance), middle).astype(np.float32)
    # In float32, as the peers round.
    share = np.log(size / np.float32(middle)) / np.log(np.float32((max_distance - 1) / middle))
    far = np.ceil(share * np.float32(middle - 1)) + middle
    return np.where(np.abs(distance) <= middle, distance, np.sign(distance) * far).astype(np.int32)


class DisentangledAttention(SoftmaxAttention):
    """Attention with q_i·k_j + q_i·K(i-j) + k_j·Q(i-j), where Q and K project the vectors of distances.

    The projections are those of queries and keys. It takes the `Distances` of its tokens as score.

    Args:
      dim: D.
      heads: N.
      scale: of the three products; None: 1/√(3·H).
      settings: those of `SoftmaxAttention`.

    References:
      He et al., DeBERTa, 2020, arXiv:2006.03654.
      He et al., DeBERTaV3, 2021, arXiv:2111.09543 (shared projections).

    Example:
      >>> attention = DisentangledAttention(8, 2, rngs=nnx.Rngs(0))
      >>> distances = DistanceTable(8, 4, 16, rngs=nnx.Rngs(0))(5)
      >>> attention(jnp.ones((1, 5, 8)), score=distances).out.shape
      (1, 5, 8)
    """

    def __init__(
        self, dim: int, heads: int, *, scale: float | None = None, rngs: nnx.Rngs, **settings: Any
    ) -> None:
        super().__init__(dim, heads, scale=scale, rngs=rngs, **settings)
        if self.kv_heads != heads:
            raise ValueError(f"kv_heads {self.kv_heads}: expected {heads}, one for each head")
        if scale is None:
            self.scale = 1 / math.sqrt(3 * self.head_dim)

    def _rules(self, mask: Any, score: Any, normalizer: Any, offset: Any) -> dict[str, Any]:
        if not isinstance(score, Distances):
            raise ValueError(f"score {score!r}: expected the Distances of the tokens")
        return super()._rules(mask, None, normalizer, offset) | {"distances": score}

    def _remembered(
        self, x: Array, query: Array, new: KeysValues, cache: Any, count: Any, rules: dict[str, Any]
    ) -> tuple[KeysValues, Any]:
        """Returns what is attended to; puts the scores of distances among the rules."""
        if cache is not None:
            raise ValueError("cache is given: disentangled attention reads all tokens at once")
        distances = rules.pop("distances")
        vectors = distances.vectors.astype(query.dtype)
        bucket = distances.bucket
        projected = self.query(vectors), self.key(vectors)
        towards = jnp.einsum("...tnh,snh->...nts", query, projected[1])
        back = jnp.einsum("...tnh,snh->...nts", new.keys, projected[0])
        bias = _of_pairs(towards, bucket) + jnp.swapaxes(_of_pairs(back, bucket.T), -1, -2)
        rules["score"] = [*(rules["score"] or []), scores.pair_bias(bias * rules["scale"])]
        return new, None


def _of_pairs(of_buckets: Float[Array, "*B N T 2S"], bucket: Int[Array, "T T"]) -> Float[Array, "*B N T T"]:
    index = jnp.broadcast_to(bucket, (*of_buckets.shape[:-2], *bucket.shape))
    return jnp.take_along_axis(of_buckets, index, axis=-1)
