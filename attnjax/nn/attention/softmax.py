"""The layer of softmax attention, around `attnjax.attention`."""

from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.base import Attention, MaskLike, ScoreLike, Settings, require_kind
from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import counted, filled_slots, nan_without_offsets, require_offsets
from attnjax.nn.dropout import Dropout
from attnjax.ops.attention import attention, attention_weights
from attnjax.ops.normalizers import Normalizer


class SoftmaxAttention(Attention):
    """Attention over x itself or over a context: O·concat_n softmax(q_n·k_nᵀ/√H)·v_n.

    A key/value head serves heads/kv_heads query heads.

    Args:
      dim, heads: as in `Attention`.
      implementation: of `attnjax.attention`; None chooses.
      settings: those of `Attention`.

    Raises:
      ValueError: As in `Attention`.

    References:
      Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762.

    Example:
      >>> from attnjax.ops import masks
      >>> attention = SoftmaxAttention(8, 4, kv_heads=2, rope="halves", rngs=nnx.Rngs(0))
      >>> attention(jnp.ones((2, 5, 8)), mask=masks.causal()).out.shape
      (2, 5, 8)
    """

    has_weights = True

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        mechanism: str = "softmax",
        implementation: str | None = None,
        rngs: nnx.Rngs,
        **settings: Unpack[Settings],
    ) -> None:
        self._make(dim, heads, mechanism=mechanism, rngs=rngs, **settings)
        self.implementation = implementation

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S D"] | KeysValues | None = None,
        *,
        mask: MaskLike | None = None,
        score: ScoreLike | None = None,
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

        Raises:
          ValueError: x or context is not D wide; a cache comes with a context, or is full; a capture is out
            of range; positions of x or of a context come alone; a mask or score has offset 0 beside a cache
            that holds tokens (NaN where a traced length hides it).
          TypeError: The cache is of another kind.
        """
        self._require_width("x", x)
        if cache is not None and context is not None:
            raise ValueError(
                "cache with context: a cache is for self-attention; a context can be `project`ed once"
            )
        require_kind(cache, KVCache, self.mechanism)
        kept: Any = cache
        if self.rope is not None:
            before = 0 if kept is None else kept.length
            positions, context_positions = counted(x, context, positions, context_positions, before)
        require_offsets(kept, mask, score)
        query = self._place(self.query(x), self.query_norm, positions)
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
            normalizer=self._normalizer(),
            implementation=self.implementation,
            dropout_rate=0.0 if dropout is None else dropout.rate,
            dropout_key=None if dropout is None else dropout.key,
        )
        return AttentionOutput(nan_without_offsets(self.out(out), cache, mask, score), kept, weights)

    def project(
        self, context: Float[Array, "*B S D"], positions: Int[Array, "*#B S"] | None = None
    ) -> KeysValues:
        """Returns the keys and values of a context, to be attended to many times.

        Args:
          context: the tokens.
          positions: of the context for RoPE; they count from 0 unless given.

        Raises:
          ValueError: The context is not D wide.
        """
        self._require_width("context", context)
        if positions is None:
            positions = jnp.arange(context.shape[-2])
        return KeysValues(self._place(self.key(context), self.key_norm, positions), self.value(context))

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache:
        """Returns a cache of `capacity` free slots for tokens of this dtype."""
        sizes = {"kv_heads": self.kv_heads, "head_dim": self.head_dim, "value_dim": self.value_dim}
        return KVCache.empty(batch, capacity, dtype=dtype, **sizes)

    def _normalizer(self) -> Normalizer | None:
        """The normaliser; None is the softmax."""
        return None

    def _weights(self, capture: Capture, query: Array, keys: Array, mask: Any, score: Any) -> Array:
        capture.require_within("heads", self.heads)
        capture.require_within("rows", query.shape[-3])
        # The barrier keeps the compiler from sharing work with the engine, which would change how it rounds.
        query, keys = jax.lax.optimization_barrier((query, keys))
        rules = {"mask": mask, "score": score, "normalizer": self._normalizer()}
        weights = attention_weights(query, keys, **rules, rows=capture.rows)
        return weights if capture.heads is None else weights[..., jnp.array(capture.heads), :, :]
