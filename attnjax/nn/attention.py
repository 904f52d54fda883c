"""The attention layer: projections, positions, cache and capture around `attnjax.ops.attention`."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.axes import named
from attnjax.nn.cache import KeysValues, KVCache
from attnjax.nn.capture import Capture
from attnjax.nn.dot import flat_dot_general
from attnjax.nn.dropout import Dropout
from attnjax.nn.norm import make_norm
from attnjax.ops import masks
from attnjax.ops import positions as position_ops
from attnjax.ops.attention import attention, attention_weights
from attnjax.ops.masks import Mask

MaskLike = Mask | Bool[Array, "*#B #N #T #S"]
Rope = Literal["halves", "interleaved"]


class Attended(NamedTuple):
    """What one attention layer gives: its output, the cache it leaves, the weights that were asked for."""

    out: Float[Array, "*B T D"]
    cache: KVCache | None
    weights: Float[Array, "*B N T S"] | None


class Attention(nnx.Module):
    """Multi-head attention over x itself or over a context: O·concat_n softmax(q_n·k_nᵀ/√H)·v_n.

    kv_heads = heads is multi-head (Vaswani et al. 2017), 1 multi-query (Shazeer 2019), a divisor between them
    grouped-query attention (Ainslie et al. 2023): a key/value head serves heads/kv_heads query heads.

    Args:
      dim: D, of x, of the context and of the output.
      heads, kv_heads, head_dim: N, K (default N) and H (default dim/heads).
      bias: whether the four projections have one.
      qk_norm: RMSNorm of each query and key head, learned per entry (Henry et al. 2020; as in Qwen3).
      rope: rotate queries and keys by their position, in one of two layouts (Su et al. 2021); after qk_norm.
      implementation: of `attnjax.attention`; None chooses.
      dtype: of the computation (None: what inputs and parameters promote to); param_dtype: of the parameters.

    Raises:
      ValueError: sizes below 1 or that do not divide, an unknown rope, or one of an odd head size.

    >>> attention = Attention(8, 4, kv_heads=2, rope="halves", rngs=nnx.Rngs(0))
    >>> attention(jnp.ones((2, 5, 8)), mask=masks.causal()).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        qk_norm: bool = False,
        rope: Rope | None = None,
        implementation: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        _require_sizes(dim, heads, kv_heads, head_dim)
        self.dim = dim
        self.heads = heads
        self.kv_heads = heads if kv_heads is None else kv_heads
        self.head_dim = dim // heads if head_dim is None else head_dim
        self.rope = rope
        self.implementation = implementation
        if rope not in (None, "halves", "interleaved"):
            raise ValueError(f"rope {rope!r}: expected None, 'halves' or 'interleaved'")
        if rope is not None and self.head_dim % 2:
            raise ValueError(f"rope {rope!r}: expected an even head size, got {self.head_dim}")

        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        common_linear = common | {
            "use_bias": bias,
            "kernel_init": nnx.initializers.xavier_uniform(),
            "dot_general": flat_dot_general,
        }

        def project(count: int, axis: str) -> nnx.LinearGeneral:
            return nnx.LinearGeneral(
                dim,
                (count, self.head_dim),
                kernel_metadata=named("embed", axis, "head_dim"),
                bias_metadata=named(axis, "head_dim"),
                **common_linear,
            )

        self.query = project(self.heads, "heads")
        self.key = project(self.kv_heads, "kv_heads")
        self.value = project(self.kv_heads, "kv_heads")
        self.out = nnx.LinearGeneral(
            (self.heads, self.head_dim),
            dim,
            axis=(-2, -1),
            kernel_metadata=named("heads", "head_dim", "embed"),
            bias_metadata=named("embed"),
            **common_linear,
        )
        self.query_norm = make_norm("rms", self.head_dim, axis="head_dim", **common) if qk_norm else None
        self.key_norm = make_norm("rms", self.head_dim, axis="head_dim", **common) if qk_norm else None

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S D"] | KeysValues | None = None,
        **options: Any,
    ) -> Any:
        """The output [*B, T, D]; with a cache (output, cache); with a capture its weights as a last element.

        The arguments are those of `attend`.
        """
        return without_none(*self.attend(x, context, **options))

    def attend(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S D"] | KeysValues | None = None,
        *,
        mask: MaskLike | None = None,
        score: Any = None,
        positions: Int[Array, "*#B T"] | None = None,
        cache: KVCache | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> Attended:
        """Attends from every token of x.

        Args:
          x: the tokens that ask.
          context: what they attend to: x itself (None), other tokens, or what `project` made of them.
          mask, score: as in `attnjax.attention`. With a cache, S is its capacity, and causal, sliding-window
            and position-dependent scores take offset=cache.length; slots not yet filled are masked out here.
          positions: of x for RoPE; they count from the cache's length, or 0, unless given.
          cache: earlier tokens of the same sequence, to which x is appended first.
          dropout: on the attention weights.
          capture: which heads and rows of the weights (before dropout) to return: [*B, |heads|, |rows|, S].

        Raises:
          ValueError: x or context is not D wide; a cache together with a context, a cache that is full, or a
            capture out of range.
        """
        self._require_width("x", x)
        if cache is not None and context is not None:
            raise ValueError(
                "cache with context: a cache is for self-attention; a context can be `project`ed once"
            )
        if positions is None and self.rope is not None:
            positions = jnp.arange(x.shape[-2]) + (0 if cache is None else cache.length)
        query = self._place(self._normed(self.query(x), self.query_norm), positions)
        if isinstance(context, KeysValues):
            source = context
        else:
            source = self.project(x if context is None else context, positions if context is None else None)
        if cache is not None:
            cache = cache.append(source)
            source = KeysValues(cache.keys, cache.values)
            mask = _and(mask, masks.lengths(key=cache.length))
        weights = None
        if capture is not None:
            weights = self._weights(capture, query, source.keys, mask, score)
        out = attention(
            query,
            source.keys.astype(query.dtype),
            source.values.astype(query.dtype),
            mask=mask,
            score=score,
            implementation=self.implementation,
            dropout_rate=0.0 if dropout is None else dropout.rate,
            dropout_key=None if dropout is None else dropout.key,
        )
        return Attended(self.out(out), cache, weights)

    def project(
        self, context: Float[Array, "*B S D"], positions: Int[Array, "*#B S"] | None = None
    ) -> KeysValues:
        """The keys and values of a context, to be attended to many times; positions, if any, are for RoPE.

        Raises:
          ValueError: the context is not D wide.
        """
        self._require_width("context", context)
        keys = self._place(self._normed(self.key(context), self.key_norm), positions)
        return KeysValues(keys, self.value(context))

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache:
        """A cache of `capacity` free slots that fits this layer."""
        return KVCache.empty(batch, capacity, kv_heads=self.kv_heads, head_dim=self.head_dim, dtype=dtype)

    def _require_width(self, name: str, x: Array) -> None:
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ValueError(f"{name} {list(x.shape)}: expected (*B, length, {self.dim})")

    def _normed(self, heads: Array, norm: Any) -> Array:
        return heads if norm is None else norm(heads)

    def _place(self, heads: Array, positions: Array | None) -> Array:
        if self.rope is None or positions is None:
            return heads
        return position_ops.rope(heads, positions, interleaved=self.rope == "interleaved")

    def _weights(self, capture: Capture, query: Array, keys: Array, mask: Any, score: Any) -> Array:
        capture.require_within("heads", self.heads)
        capture.require_within("rows", query.shape[-3])
        # The barrier keeps the compiler from sharing work with the engine, which would change how it rounds.
        query, keys = jax.lax.optimization_barrier((query, keys))
        weights = attention_weights(query, keys, mask=mask, score=score, rows=capture.rows)
        return weights if capture.heads is None else weights[..., jnp.array(capture.heads), :, :]


def _require_sizes(dim: int, heads: int, kv_heads: int | None, head_dim: int | None) -> None:
    sizes = {"dim": dim, "heads": heads, "kv_heads": kv_heads, "head_dim": head_dim}
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(f"{name} {size}: expected 1 or more")
    if kv_heads is not None and heads % kv_heads:
        raise ValueError(f"kv_heads {kv_heads}: expected a divisor of heads ({heads})")
    if head_dim is None and dim % heads:
        raise ValueError(f"heads {heads}: expected a divisor of dim ({dim}), or a head_dim")


def without_none(first: Any, *rest: Any) -> Any:
    """first alone, or with those of the rest that are not None as a tuple."""
    given = tuple(part for part in rest if part is not None)
    return (first, *given) if given else first


def _and(mask: MaskLike | None, other: Mask) -> Mask:
    if mask is None:
        return other
    return (mask if isinstance(mask, Mask) else masks.dense(mask)) & other
