"""Tensor-product attention: queries, keys and values of all heads as sums of few outer products."""

from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.cache import KeysValues, KVCache
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.settings import Layout as RopeLayout
from attnjax.nn.attention.settings import Rope
from attnjax.nn.attention.sizes import Layout, require_sizes
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.projection import into_heads
from attnjax.nn.taps import Sites
from attnjax.ops.attention import attention

PARTS = ("query", "key", "value")


class TensorProductAttention(SoftmaxAttention):
    """Tensor-product attention (TPA): heads Q_t = Σ_r a_r(x_t) b_r(x_t)ᵀ / R, and so keys and values.

    a_r [N] and b_r [H] are linear in x; RoPE rotates the b_r of queries and keys. The cache holds the factors
    of keys and values, 2·R·(N + H) numbers a token.

    Args:
      dim, heads: D and N.
      rank: R of keys and values.
      query_rank: R of queries.
      head_dim: H; None: D/N.
      bias: whether the maps into factors and the last projection have one.
      rope, implementation: as in `SoftmaxAttention`.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: Sizes are below 1 or do not divide; rope is unknown, or the head size odd.

    References:
      Zhang et al., Tensor Product Attention Is All You Need, 2025, arXiv:2501.06425.

    Example:
      >>> layer = TensorProductAttention(16, 4, rank=1, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 5, 16))).out.shape, layer.empty_cache((1,), 9, jnp.float32).keys.shape
      ((1, 5, 16), (1, 9, 1, 8))
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        rank: int = 2,
        query_rank: int = 6,
        head_dim: int | None = None,
        bias: bool = True,
        rope: RopeLayout | Rope | None = None,
        implementation: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        require_sizes(dim, heads, kv_heads=None, head_dim=head_dim, rank=rank, query_rank=query_rank)
        self.ranks = {"query": query_rank, "key": rank, "value": rank}
        super().__init__(
            dim,
            heads,
            head_dim=head_dim,
            bias=bias,
            rope=rope,
            implementation=implementation,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )

    def _project_into(
        self, layout: Layout, widths: Mapping[str, int], biases: Collection[str], common: Mapping[str, Any]
    ) -> None:
        def factors(axis: str, size: int) -> nnx.Dict:
            return nnx.Dict(
                {
                    part: into_heads(
                        self.dim, {"rank": self.ranks[part], axis: size}, bias=bool(biases), **common
                    )
                    for part in PARTS
                }
            )

        self.over_heads = factors("heads", self.heads)
        self.over_channels = factors("head_dim", self.head_dim)

    def project(
        self,
        context: Float[Array, "*B S C"],
        positions: Int[Array, "*#B S"] | None = None,
        *,
        values: Float[Array, "*B S U"] | None = None,
    ) -> KeysValues:
        """Returns the factors of keys and of values, each [*B, S, R, N + H], of a context.

        Args:
          context: the tokens.
          positions: of the context for RoPE; they count from 0 unless given.
          values: the source of the values, where it is not the context.
        """
        positions = jnp.arange(context.shape[-2]) if positions is None else positions
        values = context if values is None else values
        return KeysValues(self._factors("key", context, positions), self._factors("value", values, None))

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache:
        """Returns a cache of `capacity` free slots, of factors, for tokens of this dtype."""
        size = self.heads + self.head_dim
        return KVCache.empty(batch, capacity, kv_heads=self.ranks["key"], head_dim=size, dtype=dtype)

    def _factors(self, part: str, x: Array, positions: Any) -> Float[Array, "*B T R N+H"]:
        channels = self._rotated(self.over_channels[part](x), positions)
        return jnp.concatenate([self.over_heads[part](x), channels], axis=-1)

    def _multiplied(self, factors: Float[Array, "*B T R N+H"]) -> Float[Array, "*B T N H"]:
        heads, channels = jnp.split(factors, [self.heads], axis=-1)
        return jnp.einsum("...trn,...trh->...tnh", heads, channels) / factors.shape[-2]

    def _queries(self, x: Float[Array, "*B T D"], positions: Any) -> Float[Array, "*B T N H"]:
        return self._multiplied(self._factors("query", x, positions))

    def _attend(self, query: Array, source: KeysValues, rules: dict[str, Any]) -> Float[Array, "*B T N H"]:
        keys, values = (self._multiplied(factors.astype(query.dtype)) for factors in source)
        return attention(query, keys, values, **rules)

    def values_of(self, source: KeysValues, dtype: DTypeLike) -> Float[Array, "*B S N H"]:
        """Returns the values of heads, the products of the factors."""
        return self._multiplied(source.values.astype(dtype))

    def _weights(
        self, capture: Capture | Sites, query: Array, source: KeysValues, rules: dict[str, Any]
    ) -> Float[Array, "*B N T S"]:
        keys = self._multiplied(source.keys.astype(query.dtype))
        return super()._weights(capture, query, KeysValues(keys, source.values), rules)
