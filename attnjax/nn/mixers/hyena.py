"""Hyena: gates and convolutions as long as the sequence, whose filters are functions of the distance."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.base import require_kind, require_width
from attnjax.nn.attention.cache import KVCache, StateCache, write_rows
from attnjax.nn.attention.mask_reading import read_mask
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike, following
from attnjax.nn.axes import named
from attnjax.nn.mixers.tokens import real_tokens, require_at_most, zero_padding
from attnjax.nn.projection import into_heads
from attnjax.nn.short_convolution import ShortConvolution
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank

SLOWEST, FASTEST = 1.5, 0.3
"""Shares of max_length after which the filters of the slowest and the fastest channel have fallen to 1 %."""


class Filters(nnx.Module):
    """The filters of a Hyena layer: h(t) = FFN([t, cos 2πft, -sin 2πft])·exp(-α t), t from 0 to 1.

    Args:
      dim: D.
      order: filters of each channel.
      width: of the FFN, which has sines for activations.
      bands: frequencies f, from near 0 to this number less one.
      max_length: tokens from t = 0 to 1.
      param_dtype: of the parameters.
      rngs: draws the parameters.
    """

    def __init__(
        self,
        dim: int,
        order: int,
        *,
        width: int,
        bands: int,
        max_length: int,
        param_dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.bands, self.max_length = dim, bands, max_length
        common: dict[str, Any] = {"param_dtype": param_dtype, "rngs": rngs}
        self.first = into_heads(1 + 2 * bands, {"mlp": width}, source="bucket", **common)
        self.second = into_heads(width, {"mlp": width}, source="mlp", **common)
        self.last = into_heads(width, {"order": order, "embed": dim}, source="mlp", bias=False, **common)
        self.frequency = nnx.Param(jnp.ones((width,), param_dtype), **named("mlp"))

    def __call__(self) -> Float[Array, "L O D"]:
        """Returns the filters at every distance from 0 to max_length - 1."""
        dtype = self.first.kernel[...].dtype
        t = jnp.linspace(0, 1, self.max_length, dtype=dtype)[:, None]
        turns = 2 * jnp.pi * jnp.arange(self.max_length, dtype=dtype)[:, None] / self.max_length
        angle = jnp.linspace(1e-4, max(self.bands - 1, 1e-4), self.bands, dtype=dtype)[None] * turns
        x = jnp.concatenate([t, jnp.cos(angle), -jnp.sin(angle)], axis=-1)
        frequency = self.frequency[...][None]
        x = jnp.sin(frequency * self.second(jnp.sin(frequency * self.first(x))))
        falls = jnp.linspace(math.log(100) / SLOWEST, math.log(100) / FASTEST, self.dim, dtype=dtype)
        return self.last(x) * jnp.exp(-t * falls[None])[:, None]


class Hyena(nnx.Module):
    """The Hyena operator: z_0 = u_0, z_i = u_i ⊙ (h_i * z_{i-1} + b_i ⊙ z_{i-1}), then O z_n.

    u_0 … u_n are projections of x after a short convolution; h_i are causal filters as long as the sequence,
    from `Filters`, and * is a convolution over tokens. A whole sequence is convolved by fast transforms, one
    that is packed or continues a cache directly.

    Args:
      dim: D.
      heads: not used.
      order: n, in gates.
      width: of the FFN of the filters.
      bands: frequencies of the filters.
      short: tokens that the short convolution takes in.
      max_length: tokens that there are at most.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1.

    References:
      Poli et al., Hyena Hierarchy: Towards Larger Convolutional Language Models, 2023, arXiv:2302.10866.

    Example:
      >>> from attnjax.ops import masks
      >>> layer = Hyena(8, 1, max_length=16, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 8)), mask=masks.causal()).out.shape
      (2, 5, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        order: int = 2,
        width: int = 64,
        bands: int = 4,
        short: int = 3,
        max_length: int = 512,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        sizes = {"dim": dim, "order": order, "width": width, "bands": bands, "short": short}
        for name, size in (sizes | {"max_length": max_length}).items():
            count(name, size)
        self.dim, self.order, self.short, self.max_length = dim, order, short, max_length
        axes = {"order": order + 1, "embed": dim}
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.projected = into_heads(dim, axes, source="embed", **common)
        self.out = into_heads(dim, {"embed": dim}, **common)
        self.convolution = ShortConvolution(
            axes, width=short, bias=True, silu=False, param_dtype=param_dtype, rngs=rngs
        )
        self.filters = Filters(
            dim, order, width=width, bands=bands, max_length=max_length, param_dtype=param_dtype, rngs=rngs
        )
        start = jax.random.normal(rngs.params(), (order, dim), param_dtype)
        self.bias = nnx.Param(start, **named("order", "embed"))

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        *,
        mask: MaskLike | None = None,
        cache: KVCache | StateCache | None = None,
    ) -> AttentionOutput:
        """Mixes each token with those before it.

        Args:
          x: the tokens.
          mask: causal(), and lengths(key=…), ~lengths(key=…) and segments(ids) joined to it by &.
          cache: all tokens before these ones.

        Raises:
          ValueError: x is not D wide; there are more than max_length tokens; the mask is not causal, has
            other parts, or does not fit the cache.
          TypeError: The cache is of another kind.
        """
        require_width("x", x, self.dim)
        require_kind(cache, StateCache, "hyena")
        kept = cache if isinstance(cache, StateCache) else None
        reading = read_mask(mask, "hyena")
        if not reading.causal:
            raise ValueError(f"mask {mask!r}: hyena is causal only, expected causal() in it")
        length = x.shape[-2]
        require_at_most(length if kept is None else kept.state[0].shape[-2], self.max_length, "hyena")
        if kept is not None:
            if reading.segment_ids is not None:
                raise ValueError(
                    f"mask {mask!r} with a cache: expected causal(cache.length), and no segments"
                )
            if reading.lengths is not None:
                reading = reading._replace(lengths=jnp.maximum(reading.lengths - kept.length, 0))
        real = real_tokens(reading, length)
        projected = self.projected(zero_padding(x, real))
        channels = (self.order + 1) * self.dim
        flat = zero_padding(projected.reshape(*x.shape[:-1], channels), real).reshape(projected.shape)
        u, tail = self.convolution(
            flat,
            tail=None if kept is None else kept.tails["u"],
            lengths=reading.lengths,
            segment_ids=reading.segment_ids,
        )
        filters, bias = self.filters().astype(u.dtype), self.bias[...].astype(u.dtype)
        z, held = zero_padding(u[..., 0, :], real), []
        for i in range(self.order):
            if kept is None:
                convolved = _convolved(z, filters[:, i], reading.segment_ids)
            else:
                added = None if reading.lengths is None else jnp.broadcast_to(reading.lengths, x.shape[:-2])
                held.append(write_rows(kept.state[i], z, kept.length, count=added))
                convolved = _continued(z, held[-1].astype(z.dtype), filters[:, i], kept.length)
            z = zero_padding(u[..., i + 1, :] * (convolved + of_rank(bias[i], z.ndim) * z), real)
        out = self.out(z)
        if kept is None:
            return AttentionOutput(out)
        after = kept.length + jnp.int32(
            length if reading.lengths is None else jnp.clip(reading.lengths, 0, length)
        )
        return AttentionOutput(out, StateCache(tuple(held), {"u": tail}, after))

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> StateCache:
        """Returns a cache of `capacity` free slots for tokens of this dtype."""
        held = tuple(jnp.zeros((*batch, capacity, self.dim), dtype) for _ in range(self.order))
        tail = jnp.zeros((*batch, self.short - 1, self.order + 1, self.dim), dtype)
        return StateCache(held, {"u": tail}, jnp.zeros(batch, jnp.int32))


def _convolved(
    z: Float[Array, "*B T D"], filters: Float[Array, "L D"], segment_ids: Int[Array, "*#B T"] | None
) -> Float[Array, "*B T D"]:
    """Returns Σ_{s≤t} h(t - s) ⊙ z_s, over the tokens s of the segment of t."""
    length = z.shape[-2]
    if 0 in z.shape:
        return z
    if segment_ids is not None:
        at = jnp.arange(length, dtype=jnp.int32)
        same = segment_ids[..., :, None] == segment_ids[..., None, :]
        return _direct(z, filters, at, same)
    wide = accumulation_dtype(z)
    # Twice as long, so that nothing comes round the end.
    waves = jnp.fft.rfft(z.astype(wide), 2 * length, axis=-2)
    of_filters = jnp.fft.rfft(filters[:length].astype(wide), 2 * length, axis=0)
    return jnp.fft.irfft(waves * of_rank(of_filters, waves.ndim), 2 * length, axis=-2)[
        ..., :length, :
    ].astype(z.dtype)


def _continued(
    z: Float[Array, "*B T D"],
    held: Float[Array, "*B S D"],
    filters: Float[Array, "L D"],
    before: Int[Array, "*B"],
) -> Float[Array, "*B T D"]:
    """Returns the convolution over all tokens that are held, those of z among them."""
    at = following(before, z.shape[-2])
    return _direct(held, filters, at, jnp.ones((1,) * (at.ndim + 1), bool))


def _direct(
    z: Float[Array, "*B S D"],
    filters: Float[Array, "L D"],
    at: Int[Array, "*#B T"],
    sees: Bool[Array, "*#B #T #S"],
) -> Float[Array, "*B T D"]:
    """Returns Σ_s h(t - s) ⊙ z_s over what a token sees, one token after the other."""
    slots = jnp.arange(z.shape[-2], dtype=jnp.int32)
    apart = at[..., None] - of_rank(slots, at.ndim + 1)
    sees = jnp.broadcast_to(sees & (apart >= 0), jnp.broadcast_shapes(sees.shape, apart.shape))
    apart = jnp.broadcast_to(jnp.clip(apart, 0, len(filters) - 1), sees.shape)

    @jax.checkpoint
    def of_token(row: tuple[Array, Array]) -> Array:
        far, seen = row
        return (jnp.where(seen[..., None], filters[far], 0) * z).sum(-2)

    rows = jnp.moveaxis(apart, -2, 0), jnp.moveaxis(sees, -2, 0)
    return jnp.moveaxis(jax.lax.map(of_token, rows), 0, -2)
