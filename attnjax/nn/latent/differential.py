"""Differential attention: the difference of two softmaxes over the same values."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.settings import Layout, Rope, as_rope
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.axes import named
from attnjax.nn.norm import make_norm
from attnjax.nn.taps import Sites
from attnjax.ops.attention import attention
from attnjax.ops.core.dtypes import accumulation_dtype

_STD = 0.1
"""Of the vectors that λ starts from, as in the paper's code."""


class DifferentialAttention(SoftmaxAttention):
    """Differential attention: (1 - λ₀)·norm((softmax(q¹·k¹/√H) - λ·softmax(q²·k²/√H)) v) of each head.

        λ = exp(a¹·b¹) - exp(a²·b²) + λ₀,  λ₀ = 0.8 - 0.6·exp(-0.3·layer)

    Each of N heads has two queries and two keys of size H and values of size 2H, so that N heads with
    H = D/(2N) have as many parameters as 2N ordinary ones. a and b are learned vectors of the layer.

    Args:
      dim, heads: D and N.
      layer: the number of the layer, from 0.
      kv_heads: K heads of keys (two each) and values; None: N.
      head_dim: H; None: D/(2N).
      bias: as in `Attention`.
      rope: as in `Attention`, of queries and keys of size H.
      implementation: as in `SoftmaxAttention`.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: Sizes are below 1 or do not divide; rope is unknown, or H odd.

    References:
      Ye et al., Differential Transformer, 2024, arXiv:2410.05258.

    Example:
      >>> layer = DifferentialAttention(8, 2, rope="halves", rngs=nnx.Rngs(0))
      >>> layer.query.kernel.shape, layer(jnp.ones((1, 5, 8))).out.shape
      ((8, 2, 4), (1, 5, 8))
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        layer: int = 0,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        rope: Layout | Rope | None = None,
        implementation: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if head_dim is None and dim % (2 * heads):
            raise ValueError(f"heads {heads}: expected 2·heads to divide dim ({dim}), or a head_dim")
        size = dim // (2 * heads) if head_dim is None else head_dim
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        super().__init__(
            dim,
            heads,
            kv_heads=kv_heads,
            head_dim=2 * size,
            bias=bias,
            scale=1 / math.sqrt(size),
            implementation=implementation,
            **common,
        )
        self.rope = as_rope(rope)
        if self.rope is not None:
            self.rope.require_fits(size)
        self.start = 0.8 - 0.6 * math.exp(-0.3 * layer)
        draw = nnx.initializers.normal(_STD)
        self.exponents = nnx.Param(
            draw(rngs.params(), (2, 2, size), param_dtype), **named("pair", "side", "head_dim")
        )
        self.norm = make_norm("rms", 2 * size, axis="head_dim", eps=1e-5, **common)

    def project(
        self,
        context: Float[Array, "*B S C"],
        positions: Int[Array, "*#B S"] | None = None,
        *,
        values: Float[Array, "*B S U"] | None = None,
    ) -> KeysValues:
        """Returns keys and values as in `SoftmaxAttention`; the two keys of a head lie side by side."""
        positions = jnp.arange(context.shape[-2]) if positions is None else positions
        keys = self._turned(self.key(context), positions)
        return KeysValues(keys, self.value(context if values is None else values))

    def _queries(self, x: Float[Array, "*B T D"], positions: Any) -> Float[Array, "*B T N 2H"]:
        return self._turned(self.query(x), positions)

    def _turned(self, heads: Float[Array, "*B T N 2H"], positions: Any) -> Float[Array, "*B T N 2H"]:
        """Returns heads whose two halves are rotated each."""
        halves = heads.reshape(*heads.shape[:-2], -1, heads.shape[-1] // 2)
        return self._rotated(halves, positions).reshape(heads.shape)

    def _attend(self, query: Array, source: KeysValues, rules: dict[str, Any]) -> Float[Array, "*B T N 2H"]:
        keys, values = (heads.astype(query.dtype) for heads in source)
        reads = []
        for number, (q, k) in enumerate(_halves(query, keys)):
            key = rules["dropout_key"]
            own = {"dropout_key": None if key is None else jax.random.fold_in(key, number)}
            reads.append(attention(q, k, values, **rules | own))
        return self._normed(reads[0] - self._share().astype(query.dtype) * reads[1])

    def mixed(
        self, weights: Float[Array, "*B N T S"], values: Float[Array, "*B S K 2H"]
    ) -> Float[Array, "*B T N 2H"]:
        """Returns what the heads read of values with these differences of weights."""
        return self._normed(super().mixed(weights, values))

    def _normed(self, heads: Float[Array, "*B T N 2H"]) -> Float[Array, "*B T N 2H"]:
        return self.norm(heads) * (1 - self.start)

    def _weights(
        self, capture: Capture | Sites, query: Array, source: KeysValues, rules: dict[str, Any]
    ) -> Float[Array, "*B N T S"]:
        """Returns the difference of both softmaxes."""
        first, second = (
            super(DifferentialAttention, self)._weights(
                capture.within(part) if isinstance(capture, Sites) else capture,
                q,
                KeysValues(k, source.values),
                rules,
            )
            for part, (q, k) in zip(
                ("first", "second"), _halves(query, source.keys.astype(query.dtype)), strict=True
            )
        )
        return first - self._share() * second

    def _share(self) -> Float[Array, ""]:
        """Returns λ, in float32 or better."""
        pairs = self.exponents[...]
        pairs = pairs.astype(accumulation_dtype(pairs))
        up, down = jnp.exp((pairs[:, 0] * pairs[:, 1]).sum(-1))
        return up - down + self.start


def _halves(query: Array, keys: Array) -> list[tuple[Array, Array]]:
    return list(zip(jnp.split(query, 2, axis=-1), jnp.split(keys, 2, axis=-1), strict=True))
