"""A plain convolution over tokens, in the place of attention."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.base import require_kind, require_width
from attnjax.nn.attention.cache import KVCache, StateCache
from attnjax.nn.attention.mask_reading import MaskReading, read_mask
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.mixers.tokens import real_tokens, zero_padding
from attnjax.nn.projection import into_heads
from attnjax.nn.short_convolution import ShortConvolution
from attnjax.ops.core.checks import count


class SeparableConvolution(nnx.Module):
    """A convolution of each channel, then a map of the channels: o_t = O Σ_l w_l ⊙ x_{t-l}.

    Causally l goes from 0 to W - 1; without order it is centred, from -⌊W/2⌋ to ⌈W/2⌉ - 1. Zeros stand where
    a token of the sequence does not.

    Args:
      dim: D.
      heads: not used.
      width: W, in tokens.
      bias: whether O has one.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1.

    References:
      Kaiser et al., Depthwise Separable Convolutions for Neural Machine Translation, 2017, arXiv:1706.03059.

    Example:
      >>> layer = SeparableConvolution(8, 1, width=3, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 8))).out.shape
      (2, 5, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        width: int = 7,
        bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.width = count("dim", dim), count("width", width)
        self.convolution = ShortConvolution(
            {"embed": dim}, width=width, silu=False, param_dtype=param_dtype, rngs=rngs
        )
        self.out = into_heads(dim, {"embed": dim}, bias=bias, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        *,
        mask: MaskLike | None = None,
        cache: KVCache | StateCache | None = None,
    ) -> AttentionOutput:
        """Convolves the tokens.

        Args:
          x: the tokens.
          mask: causal(), lengths(key=…), ~lengths(key=…) and segments(ids), joined by &.
          cache: the last tokens before these ones.

        Raises:
          ValueError: x is not D wide; the mask has other parts, or does not fit the cache.
          TypeError: The cache is of another kind.
        """
        require_width("x", x, self.dim)
        require_kind(cache, StateCache, "convolution")
        kept = cache if isinstance(cache, StateCache) else None
        reading = read_mask(mask, "convolution")
        if kept is not None:
            if not reading.causal or reading.segment_ids is not None:
                raise ValueError(
                    f"mask {mask!r} with a cache: expected causal(cache.length), and no segments"
                )
            if reading.lengths is not None:
                reading = reading._replace(lengths=jnp.maximum(reading.lengths - kept.length, 0))
        x = zero_padding(x, real_tokens(reading, x.shape[-2]))
        if not reading.causal:
            return AttentionOutput(self.out(_centred(x, self.convolution.kernel[...], reading)))
        total, tail = self.convolution(
            x,
            tail=None if kept is None else kept.tails["x"],
            lengths=reading.lengths,
            segment_ids=reading.segment_ids,
        )
        out = self.out(total)
        if kept is None:
            return AttentionOutput(out)
        added = x.shape[-2] if reading.lengths is None else jnp.clip(reading.lengths, 0, x.shape[-2])
        return AttentionOutput(out, StateCache((), {"x": tail}, kept.length + jnp.int32(added)))

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> StateCache:
        """Returns the cache before tokens of this dtype; it has one size at any capacity."""
        tail = jnp.zeros((*batch, self.width - 1, self.dim), dtype)
        return StateCache((), {"x": tail}, jnp.zeros(batch, jnp.int32))


def _centred(
    x: Float[Array, "*B T D"], kernel: Float[Array, "W D"], reading: MaskReading
) -> Float[Array, "*B T D"]:
    """Returns the convolution by a kernel whose middle lies on the token."""
    width, length = kernel.shape[0], x.shape[-2]
    ids = reading.segment_ids
    at = jnp.arange(length, dtype=jnp.int32)
    total = jnp.zeros_like(x)
    for number in range(width):
        lag = number - width // 2
        inside = (at - lag >= 0) & (at - lag < length)
        if ids is not None:
            inside = inside & (jnp.roll(ids, lag, axis=-1) == ids)
        shifted = jnp.where(inside[..., None], jnp.roll(x, lag, axis=-2), 0)
        total = total + kernel[number].astype(x.dtype) * shifted
    return total
