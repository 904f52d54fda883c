"""Multi-head latent attention: keys and values of all heads from one short vector per token."""

import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.cache import KeysValues, KVCache
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.settings import GateOf, OutputGate, Rope, as_rope
from attnjax.nn.attention.settings import Layout as RopeLayout
from attnjax.nn.attention.sizes import Layout, require_sizes
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.norm import make_norm
from attnjax.nn.projection import into_heads
from attnjax.nn.taps import Sites
from attnjax.ops.attention import attention


class LatentAttention(SoftmaxAttention):
    """Multi-head latent attention (MLA), whose cache holds R + P numbers a token, whatever the heads.

        c_j = norm(x_j W_c),  r_j = rope(x_j W_r),  k_jn = [c_j U_n, r_j],  v_jn = c_j V_n
        q_in = [q^c_in, rope(q^r_in)],  o_in = Σ_j softmax_j(q_in·k_jn/√(H+P)) v_jn

    Of few queries q_in·k_jn is [q^c_in U_nᵀ, q^r_in]·[c_j, r_j], and V_n comes after the sum over keys: no
    keys or values of heads are made ("absorbed"). Of many it is cheaper to make them. The call's number of
    tokens decides; both are the same formula.

    Args:
      dim, heads: D and N.
      kv_rank: R, the size of c; None: 4·H, as in DeepSeek-V2.
      query_rank: the size of the vector that queries come from, under a norm; None: they come from x.
      rope_dim: P, the size of what is rotated, one key for all heads; None: the even number below H/2 + 1.
      head_dim: H, what each head has of keys that is not rotated; None: D/N.
      value_dim: V; None: H.
      out_dim, rope, output_gate, scale, implementation: as in `SoftmaxAttention`; scale None is 1/√(H+P).
      bias: whether the projections into c, r and the queries' vector have one, and the last projection; those
        out of them have none.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: Sizes are below 1 or do not divide; rope is unknown, or P odd.

    References:
      DeepSeek-AI, DeepSeek-V2: A Strong, Economical, and Efficient Mixture-of-Experts Language Model, 2024,
      arXiv:2405.04434.

    Example:
      >>> layer = LatentAttention(8, 4, kv_rank=3, rope_dim=2, rope="interleaved", rngs=nnx.Rngs(0))
      >>> cache = layer.empty_cache((1,), 16, jnp.float32)
      >>> cache.keys.shape, cache.values.size
      ((1, 16, 1, 5), 0)
    """

    takes_no: ClassVar[tuple[str, ...]] = ("comparison",)

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        kv_rank: int | None = None,
        query_rank: int | None = None,
        rope_dim: int | None = None,
        head_dim: int | None = None,
        value_dim: int | None = None,
        out_dim: int | None = None,
        bias: bool = True,
        rope: RopeLayout | Rope | None = None,
        output_gate: GateOf | OutputGate | None = None,
        scale: float | None = None,
        implementation: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        ranks = {"kv_rank": kv_rank, "query_rank": query_rank, "rope_dim": rope_dim}
        require_sizes(dim, heads, kv_heads=None, head_dim=head_dim, **ranks)
        self.content_dim = dim // heads if head_dim is None else head_dim
        self.rope_dim = max(2, self.content_dim // 4 * 2) if rope_dim is None else rope_dim
        self.kv_rank = 4 * self.content_dim if kv_rank is None else kv_rank
        self.query_rank = query_rank
        whole = self.content_dim + self.rope_dim
        super().__init__(
            dim,
            heads,
            head_dim=whole,
            value_dim=self.content_dim if value_dim is None else value_dim,
            out_dim=out_dim,
            bias=bias,
            output_gate=output_gate,
            scale=1 / math.sqrt(whole) if scale is None else scale,
            implementation=implementation,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self.rope = as_rope(rope)
        if self.rope is not None:
            self.rope.require_fits(self.rope_dim)

    def _project_into(
        self, layout: Layout, widths: Mapping[str, int], biases: Collection[str], common: Mapping[str, Any]
    ) -> None:
        bias, (size, rank) = bool(biases), (self.dim, self.kv_rank)
        self.compress = into_heads(size, {"rank": rank}, bias=bias, **common)
        self.compress_norm = make_norm("rms", rank, axis="rank", **common)
        self.rope_key = into_heads(size, {"head_dim": self.rope_dim}, bias=bias, **common)
        of_content = {"heads": self.heads, "head_dim": self.content_dim}
        self.key = into_heads(rank, of_content, source="rank", bias=False, **common)
        of_values = {"heads": self.heads, "head_dim": self.value_dim}
        self.value = into_heads(rank, of_values, source="rank", bias=False, **common)
        of_queries, own = {"heads": self.heads, "head_dim": self.head_dim}, self.query_rank
        if own is None:
            self.query = into_heads(size, of_queries, bias=False, **common)
            return
        self.query_down = into_heads(size, {"rank": own}, bias=bias, **common)
        self.query_down_norm = make_norm("rms", own, axis="rank", **common)
        self.query = into_heads(own, of_queries, source="rank", bias=False, **common)

    def project(
        self,
        context: Float[Array, "*B S C"],
        positions: Int[Array, "*#B S"] | None = None,
        *,
        values: Float[Array, "*B S U"] | None = None,
    ) -> KeysValues:
        """Returns [c, r] of a context as the keys [*B, S, 1, R+P] of one head, and values of size 0.

        Args:
          context: the tokens.
          positions: of the context for RoPE; they count from 0 unless given.
          values: None; keys and values have one source.

        Raises:
          ValueError: Values are given.
        """
        if values is not None:
            raise ValueError("values is given: mla takes none, keys and values come from one vector")
        positions = jnp.arange(context.shape[-2]) if positions is None else positions
        latent = self.compress_norm(self.compress(context))[..., None, :]
        rotated = self._rotated(self.rope_key(context)[..., None, :], positions)
        keys = jnp.concatenate([latent, rotated.astype(latent.dtype)], axis=-1)
        return KeysValues(keys, keys[..., :0])

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache:
        """Returns a cache of `capacity` free slots, R + P numbers each, for tokens of this dtype."""
        size = self.kv_rank + self.rope_dim
        return KVCache.empty(batch, capacity, kv_heads=1, head_dim=size, value_dim=0, dtype=dtype)

    def _queries(self, x: Float[Array, "*B T D"], positions: Any) -> Float[Array, "*B T N H+P"]:
        source = x if self.query_rank is None else self.query_down_norm(self.query_down(x))
        content, rotated = jnp.split(self.query(source), [self.content_dim], axis=-1)
        return jnp.concatenate([content, self._rotated(rotated, positions)], axis=-1)

    def _attend(self, query: Array, source: KeysValues, rules: dict[str, Any]) -> Float[Array, "*B T N V"]:
        if not self._absorbs(query.shape[-3]):
            keys, values = self._expanded(source, query.dtype)
            return attention(query, keys, values, **rules)
        keys = source.keys.astype(query.dtype)
        into_keys, into_values = (part.kernel[...].astype(query.dtype) for part in (self.key, self.value))
        content, rotated = jnp.split(query, [self.content_dim], axis=-1)
        content = jnp.einsum("...tnh,rnh->...tnr", content, into_keys)
        moved = jnp.concatenate([content, rotated], axis=-1)
        read = attention(moved, keys, keys[..., : self.kv_rank], **rules)
        return jnp.einsum("...tnr,rnv->...tnv", read, into_values)

    def _absorbs(self, queries: int) -> bool:
        """Returns whether products with c take fewer operations than to make keys and values of heads."""
        made = self.content_dim + self.value_dim
        return queries * (2 * self.kv_rank - made) < self.kv_rank * made

    def _expanded(self, source: KeysValues, dtype: DTypeLike) -> KeysValues:
        latent, rotated = jnp.split(source.keys.astype(dtype)[..., 0, :], [self.kv_rank], axis=-1)
        content = self.key(latent).astype(dtype)
        rotated = jnp.broadcast_to(rotated[..., None, :], (*content.shape[:-1], self.rope_dim))
        return KeysValues(jnp.concatenate([content, rotated], axis=-1), self.value(latent).astype(dtype))

    def values_of(self, source: KeysValues, dtype: DTypeLike) -> Float[Array, "*B S N V"]:
        """Returns the values of heads, which the cache does not hold."""
        return self._expanded(source, dtype).values

    def _weights(
        self, capture: Capture | Sites, query: Array, source: KeysValues, rules: dict[str, Any]
    ) -> Float[Array, "*B N T S"]:
        return super()._weights(capture, query, self._expanded(source, query.dtype), rules)
