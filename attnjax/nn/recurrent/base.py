"""The base of whole recurrent layers: what their masks and caches say of the tokens of a call."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.base import require_kind, require_width
from attnjax.nn.attention.cache import KVCache, StateCache, require_floats
from attnjax.nn.attention.depth import Depth
from attnjax.nn.attention.mask_reading import MaskReading, read_recurrent_mask
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike, right_padded, shifted
from attnjax.nn.mixers.tokens import real_tokens, zero_padding


class TokenRows(NamedTuple):
    """The rows of a call: how many tokens each has, and which of them belong together.

    Attributes:
      batch: *B.
      tokens: T.
      lengths: of each row, without the padding on its right; None: all.
      segment_ids: of each token; None: one segment.
    """

    batch: tuple[int, ...]
    tokens: int
    lengths: Int[Array, "*#B"] | None = None
    segment_ids: Int[Array, "*#B T"] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The lengths and segments as the recurrences of `ops` take them."""
        return {"lengths": self.lengths, "segment_ids": self.segment_ids}

    @property
    def counts(self) -> Int[Array, "*B"]:
        """The number of each row's tokens."""
        lengths = self.tokens if self.lengths is None else jnp.clip(self.lengths, 0, self.tokens)
        return jnp.broadcast_to(jnp.int32(lengths), self.batch)

    @property
    def real(self) -> Bool[Array, "*#B T"] | None:
        """The tokens that are no padding; None: all."""
        return real_tokens(MaskReading(lengths=self.lengths), self.tokens)

    @property
    def begins(self) -> Bool[Array, "*B T"]:
        """The tokens at which a segment begins, the first of a call left out."""
        ids = jnp.asarray(0 if self.segment_ids is None else self.segment_ids)
        ids = jnp.broadcast_to(ids, (*self.batch, self.tokens))
        return jnp.concatenate([jnp.zeros_like(ids[..., :1], bool), ids[..., 1:] != ids[..., :-1]], axis=-1)

    def last(self, before: Array, x: Array) -> Array:
        """Returns what x [*B, T, …] holds of each row's last token; of one without tokens what was before."""
        axis = len(self.batch)
        both = jnp.concatenate([jnp.expand_dims(before, axis).astype(x.dtype), x], axis=axis)
        at = self.counts.reshape(*self.batch, *[1] * (x.ndim - axis))
        return jnp.take_along_axis(both, at, axis=axis).squeeze(axis)

    def previous(self, before: Array, x: Array) -> Array:
        """Returns what x [*B, T, …] holds of the token before each, 0 where a segment begins."""
        axis = len(self.batch)
        kept = jnp.split(x, [max(self.tokens - 1, 0)], axis=axis)[0]
        earlier = jnp.concatenate([jnp.expand_dims(before, axis).astype(x.dtype), kept], axis=axis)
        return jnp.where(self.begins.reshape(*self.begins.shape, *[1] * (x.ndim - axis - 1)), 0, earlier)


class RecurrentLayer(nnx.Module):
    """A causal layer of x over itself, whose cache has one size after any number of tokens.

    A subclass gives `called`, `_start` and `_read`, and has D as `dim`.
    """

    called: ClassVar[str]
    """The name of the mechanism."""
    has_weights = False
    dim: int

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        *,
        mask: MaskLike | None = None,
        cache: KVCache | StateCache | None = None,
        depth: Depth | None = None,
    ) -> AttentionOutput:
        """Reads for every token of x what the recurrence holds of the tokens up to it.

        Args:
          x: the tokens.
          mask: causal(), lengths(key=…), ~lengths(key=…) and segments(ids), joined by &, as in
            `RecurrentAttention`.
          cache: earlier tokens of the same sequence. Padding leaves its contents as they were.
          depth: what layers below left.

        Raises:
          ValueError: x is not D wide; the mask has no causal(), other parts, or does not fit the cache.
          TypeError: The cache is of another kind.
        """
        require_width("x", x, self.dim)
        require_kind(cache, StateCache, self.called)
        kept = cache if isinstance(cache, StateCache) else None
        reading = read_recurrent_mask(mask, self.called, kept, x.shape[:-2])
        turned = reading.starts
        if turned is not None:
            x, reading = shifted(x, turned), right_padded(reading, x.shape[-2])
        x = zero_padding(x, real_tokens(reading, x.shape[-2]))
        rows = TokenRows(x.shape[:-2], x.shape[-2], reading.lengths, reading.segment_ids)
        before = self.empty_cache(x.shape[:-2], 0, x.dtype) if kept is None else kept
        out, state = self._read(x, before, rows, depth)
        out = out if turned is None else shifted(out, -turned)
        if kept is None:
            return AttentionOutput(out)
        return AttentionOutput(out, StateCache(state, {}, kept.length + rows.counts))

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> StateCache:
        """Returns the cache before tokens of this dtype; it has one size at any capacity."""
        require_floats(dtype)
        return StateCache(self._start(batch, jnp.dtype(dtype)), {}, jnp.zeros(batch, jnp.int32))

    def _start(self, batch: tuple[int, ...], dtype: Any) -> Any:
        """Returns the state before the first token."""
        raise NotImplementedError

    def _read(
        self, x: Float[Array, "*B T D"], before: StateCache, rows: TokenRows, depth: Depth | None
    ) -> tuple[Float[Array, "*B T D"], Any]:
        """Returns the output, and the state after each row's last token."""
        raise NotImplementedError
