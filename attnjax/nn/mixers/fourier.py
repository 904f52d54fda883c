"""FNet: a Fourier transform in the place of attention."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.base import require_width
from attnjax.nn.attention.mask_reading import MaskReading, read_mask
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.mixers.tokens import real_tokens
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank


class FourierMixing(nnx.Module):
    """The real part of a Fourier transform over tokens and channels: Re F_T(F_D(x)).

    It has no parameters. Under a mask each sequence of a row has the transform of its own length, by a
    product with a matrix T×T instead of a fast transform: padding takes no part.

    Args:
      dim: D.
      heads: not used.
      dtype: of the output; None: that of x.
      rngs: not used.

    References:
      Lee-Thorp et al., FNet: Mixing Tokens with Fourier Transforms, 2021, arXiv:2105.03824.

    Example:
      >>> layer = FourierMixing(2, 1, rngs=nnx.Rngs(0))
      >>> layer(jnp.array([[1.0, 2.0], [3.0, 4.0]])).out.tolist()
      [[10.0, -2.0], [-4.0, 0.0]]
    """

    has_weights = False

    def __init__(self, dim: int, heads: int, *, dtype: DTypeLike | None = None, rngs: nnx.Rngs) -> None:
        self.dim = count("dim", dim)
        self.dtype = dtype

    def __call__(
        self, x: Float[Array, "*B T D"], *, mask: MaskLike | None = None, cache: None = None
    ) -> AttentionOutput:
        """Transforms the tokens.

        Args:
          x: the tokens.
          mask: lengths(key=…), ~lengths(key=…) and segments(ids), joined by &.
          cache: None; the transform needs all tokens at once.

        Raises:
          ValueError: x is not D wide; the mask is causal, or has other parts; a cache is given.
        """
        require_width("x", x, self.dim)
        if cache is not None:
            raise ValueError("cache is given: fnet needs all tokens at once, expected None")
        reading = read_mask(mask, "fnet")
        if reading.causal:
            raise ValueError(f"mask {mask!r}: fnet reads both ways only, expected no causal() in it")
        wide = x.astype(accumulation_dtype(x))
        if mask is None:
            out = jnp.fft.fft(jnp.fft.fft(wide, axis=-1), axis=-2).real
        else:
            out = _of_each_sequence(wide, reading)
        return AttentionOutput(out.astype(x.dtype if self.dtype is None else self.dtype))


def _of_each_sequence(x: Float[Array, "*B T D"], reading: MaskReading) -> Float[Array, "*B T D"]:
    """Returns the transform of each sequence by itself; padding is 0."""
    batch, length = x.shape[:-2], x.shape[-2]
    real = real_tokens(reading, length)
    real = jnp.broadcast_to(True if real is None else real, (*batch, length))
    together: Bool[Array, "*B T T"] = real[..., :, None] & real[..., None, :]
    if reading.segment_ids is not None:
        ids = jnp.broadcast_to(reading.segment_ids, (*batch, length))
        together &= ids[..., :, None] == ids[..., None, :]
    earlier = of_rank(jnp.tri(length, k=-1, dtype=bool), together.ndim)
    place = (together & earlier).sum(-1, dtype=jnp.int32)
    sizes = jnp.maximum(together.sum(-1, dtype=jnp.int32), 1)[..., None]
    # Whole turns are taken off while they are whole numbers, and none of the angle is lost.
    turns = place[..., :, None] * place[..., None, :] % sizes
    angle = 2 * jnp.pi * turns.astype(x.dtype) / sizes.astype(x.dtype)
    channels = jnp.fft.fft(jnp.where(real[..., None], x, 0), axis=-1)
    cosine, sine = (jnp.where(together, wave(angle), 0) for wave in (jnp.cos, jnp.sin))
    return cosine @ channels.real + sine @ channels.imag
