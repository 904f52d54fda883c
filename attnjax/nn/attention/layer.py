"""The attention layer: projections, positions, cache and capture around `attnjax.ops.attention`."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache, require_floats
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput, without_none
from attnjax.nn.attention.placing import counted, filled_slots, nan_without_offsets, require_offsets
from attnjax.nn.attention.recurrence import Projected, Recurrence
from attnjax.nn.attention.sizes import make_layout, require_goes_with, require_rope, require_sizes
from attnjax.nn.axes import named
from attnjax.nn.dot import flat_dot_general
from attnjax.nn.dropout import Dropout
from attnjax.nn.norm import make_norm
from attnjax.nn.projection import into_heads
from attnjax.ops import positions as position_ops
from attnjax.ops.attention import attention, attention_weights
from attnjax.ops.masks import Mask

MaskLike = Mask | Bool[Array, "*#B #N #T #S"]
Rope = Literal["halves", "interleaved"]


class Attention(nnx.Module):
    """Multi-head attention over x itself or over a context: O·concat_n softmax(q_n·k_nᵀ/√H)·v_n.

    kv_heads = heads is multi-head (Vaswani et al. 2017), 1 multi-query (Shazeer 2019), a divisor between them
    grouped-query attention (Ainslie et al. 2023): a key/value head serves heads/kv_heads query heads.

    With the name of a linear or recurrent mechanism (`catalogue.MEMBERS`: "gla", "gated_delta_net", …) its
    recurrence stands in place of the softmax: self-attention in time linear in T, whose cache has one size.
    The layer then has the gates that the mechanism declares (`nn.gates`), a short convolution of query, key
    and value where its paper has one, keys and queries of length 1 where it asks for them, and an RMSNorm of
    each head before the last projection; no gate on the output. States have H·V entries a head, or what the
    mechanism's `state` says.

    Args:
      dim: D, of x, of the context and of the output.
      heads, kv_heads, head_dim, value_dim: N, K (default N), H (default dim/heads) and V (default H).
      mechanism: "softmax", or a member of the linear family.
      options: of that member: its function's numbers (`layer`, `horizon`, …), or `writes`, `slots`, `levels`,
        `features`, as in `nn.layout`.
      bias: whether the four projections have one.
      qk_norm: RMSNorm of each query and key head, learned per entry (Henry et al. 2020; as in Qwen3).
      rope: rotate queries and keys by their position, in one of two layouts (Su et al. 2021); after qk_norm.
        In any mechanism, where asked for: RetNet rotates, the other recurrences' papers leave order to the
        recurrence.
      implementation: of `attnjax.attention`; None chooses.
      dtype: of the computation (None: what inputs and parameters promote to); param_dtype: of the parameters.

    Raises:
      ValueError: sizes below 1 or that do not divide, an unknown rope, or one of an odd head size; an unknown
        mechanism or option, one out of its range, or one that does not go with the mechanism.

    >>> from attnjax.ops import masks
    >>> attention = Attention(8, 4, kv_heads=2, rope="halves", rngs=nnx.Rngs(0))
    >>> attention(jnp.ones((2, 5, 8)), mask=masks.causal()).shape
    (2, 5, 8)
    >>> recurrent = Attention(8, 4, mechanism="gated_delta_net", rngs=nnx.Rngs(0))
    >>> list(recurrent.recurrence.gates)
    ['decay', 'strength']
    >>> cache = recurrent.empty_cache((2,), 5, jnp.float32)
    >>> out, cache = recurrent(jnp.ones((2, 5, 8)), mask=masks.causal(), cache=cache)
    >>> cache.state.shape
    (2, 4, 2, 2)
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        mechanism: str = "softmax",
        options: Mapping[str, Any] | None = None,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        value_dim: int | None = None,
        bias: bool = True,
        qk_norm: bool = False,
        rope: Rope | None = None,
        implementation: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        require_sizes(dim, heads, kv_heads=kv_heads, head_dim=head_dim, value_dim=value_dim)
        self.dim = dim
        self.heads = heads
        self.kv_heads = heads if kv_heads is None else kv_heads
        self.head_dim = dim // heads if head_dim is None else head_dim
        self.value_dim = self.head_dim if value_dim is None else value_dim
        self.mechanism = mechanism
        self.rope = rope
        self.implementation = implementation
        require_rope(rope, self.head_dim)
        layout = make_layout(
            mechanism,
            options or {},
            heads=heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            value_dim=self.value_dim,
        )
        require_goes_with(mechanism, rope=rope, qk_norm=qk_norm or None, implementation=implementation)

        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.query, self.key, self.value = (
            into_heads(dim, layout.projected[name], bias=bias, **common) for name in Projected._fields
        )
        self.out = nnx.LinearGeneral(
            (heads, self.value_dim),
            dim,
            axis=(-2, -1),
            use_bias=bias,
            kernel_init=nnx.initializers.xavier_uniform(),
            kernel_metadata=named("heads", "head_dim", "embed"),
            bias_metadata=named("embed"),
            dot_general=flat_dot_general,
            **common,
        )
        self.query_norm = make_norm("rms", self.head_dim, axis="head_dim", **common) if qk_norm else None
        self.key_norm = make_norm("rms", self.head_dim, axis="head_dim", **common) if qk_norm else None
        self.recurrence = None if mechanism == "softmax" else Recurrence(mechanism, layout, dim, **common)
        if options:
            # The member's own checks of them, by a call that computes nothing.
            self.empty_cache((), 1, jnp.float32)

    @property
    def has_weights(self) -> bool:
        """Whether there are attention weights, to drop out and to capture."""
        return self.recurrence is None

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
        context_positions: Int[Array, "*#B S"] | None = None,
        cache: KVCache | StateCache | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """Attends from every token of x.

        Args:
          x: the tokens that ask.
          context: what they attend to: x itself (None), other tokens, or what `project` made of them.
          mask, score: as in `attnjax.attention`. With a cache, S is its capacity, and masks and scores by
            position take offset=cache.length; slots not yet filled are masked out here.
          positions: of x for RoPE; they count from the cache's length, or 0, unless given.
          context_positions: of a context for RoPE, given with `positions`; both count from 0 otherwise. One
            that was projected has its own, and needs those of x.
          cache: earlier tokens of the same sequence, to which x is appended first.
          dropout: on the attention weights.
          capture: which heads and rows of the weights (before dropout) to return: [*B, |heads|, |rows|, S].

        A recurrence takes no context, score, dropout or capture. Its mask joins causal(), lengths(key=…) and
        segments(ids) by &: segments are runs of one id; without causal() it runs in both directions, as
        `bidirectional` says, but for the short convolution, which looks back. With a cache lengths count from
        its first token. Padding leaves what the cache holds as it was; tokens that follow a padded prefill
        stand, for RoPE, where `positions` says.

        Raises:
          ValueError: x or context is not D wide; a cache together with a context, a cache that is full, or a
            capture out of range; what the mechanism does not take; positions of x or of a context alone; a
            mask or score of offset 0 and a cache that holds tokens (NaN where a traced length hides it).
            TypeError: a cache of another kind.
        """
        self._require_width("x", x)
        kept: Any = self._fitting(cache, context)
        self._require_none(context=context, score=score, dropout=dropout, capture=capture)
        if self.rope is not None:
            before = 0 if cache is None else cache.length
            positions, context_positions = counted(x, context, positions, context_positions, before)
        if self.recurrence is not None:
            place = partial(self._placed, positions=positions)
            out, kept = self.recurrence(x, self._projected(x), place, mask=mask, cache=kept)
            return AttentionOutput(self.out(out), kept, None)
        require_offsets(cache, mask, score)
        query = self._place(self._normed(self.query(x), self.query_norm), positions)
        if isinstance(context, KeysValues):
            source = context
        else:
            source = self.project(x if context is None else context, context_positions)
        if kept is not None:
            kept = kept.append(source)
            source = KeysValues(kept.keys, kept.values)
            mask = filled_slots(mask, kept.length)
        weights = None if capture is None else self._weights(capture, query, source.keys, mask, score)
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
        return AttentionOutput(nan_without_offsets(self.out(out), cache, mask, score), kept, weights)

    def project(
        self, context: Float[Array, "*B S D"], positions: Int[Array, "*#B S"] | None = None
    ) -> KeysValues:
        """The keys and values of a context, to be attended to many times.

        Args:
          positions: of the context for RoPE; they count from 0 unless given.

        Raises:
          ValueError: the context is not D wide.
        """
        self._require_width("context", context)
        self._require_none(context=context)
        if positions is None:
            positions = jnp.arange(context.shape[-2])
        keys = self._place(self._normed(self.key(context), self.key_norm), positions)
        return KeysValues(keys, self.value(context))

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache | StateCache:
        """A cache that fits this layer, for tokens of this dtype: of `capacity` free slots, or of a state."""
        require_floats(dtype)
        if self.recurrence is None:
            sizes = {"kv_heads": self.kv_heads, "head_dim": self.head_dim, "value_dim": self.value_dim}
            return KVCache.empty(batch, capacity, dtype=dtype, **sizes)
        return self.recurrence.empty_cache(
            self._projected, jax.ShapeDtypeStruct((*batch, 1, self.dim), dtype)
        )

    def _require_width(self, name: str, x: Array) -> None:
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ValueError(f"{name} {list(x.shape)}: expected (*B, length, {self.dim})")

    def _fitting(self, cache: Any, context: Any) -> Any:
        """The cache, of the kind that the mechanism has."""
        if cache is not None and context is not None:
            raise ValueError(
                "cache with context: a cache is for self-attention; a context can be `project`ed once"
            )
        expected = KVCache if self.has_weights else StateCache
        if cache is not None and not isinstance(cache, expected):
            raise TypeError(
                f"cache is a {type(cache).__name__}: expected the {expected.__name__} of {self.mechanism}"
            )
        return cache

    def _require_none(self, **arguments: Any) -> None:
        for name, given in arguments.items():
            if given is not None and not self.has_weights:
                raise ValueError(f"{name} is given: {self.mechanism} takes none, it is a recurrence over x")

    def _projected(self, x: Array) -> Projected:
        return Projected(self.query(x), self.key(x), self.value(x))

    def _placed(self, heads: Projected, positions: Array | None) -> Projected:
        query = self._place(self._normed(heads.query, self.query_norm), positions)
        key = self._normed(heads.key, self.key_norm)
        # A token may have several keys, one for each write.
        flat = key.reshape(*query.shape[:-2], math.prod(key.shape[query.ndim - 2 : -1]), self.head_dim)
        return heads._replace(query=query, key=self._place(flat, positions).reshape(key.shape))

    def _normed(self, heads: Array, norm: Any) -> Array:
        return heads if norm is None else norm(heads)

    def _place(self, heads: Array, positions: Any) -> Array:
        if self.rope is None:
            return heads
        return position_ops.rope(heads, positions, interleaved=self.rope == "interleaved")

    def _weights(self, capture: Capture, query: Array, keys: Array, mask: Any, score: Any) -> Array:
        capture.require_within("heads", self.heads)
        capture.require_within("rows", query.shape[-3])
        # The barrier keeps the compiler from sharing work with the engine, which would change how it rounds.
        query, keys = jax.lax.optimization_barrier((query, keys))
        weights = attention_weights(query, keys, mask=mask, score=score, rows=capture.rows)
        return weights if capture.heads is None else weights[..., jnp.array(capture.heads), :, :]
