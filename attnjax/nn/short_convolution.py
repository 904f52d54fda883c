"""A short causal convolution of each channel, which remembers the last tokens while decoding."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.axes import named
from attnjax.ops.core.explicit_axes import automatic, mesh_axes, spec
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.call import segments_and_lengths
from attnjax.ops.linear.members.segments import places


class ShortConvolution(nnx.Module):
    """A causal convolution of each channel: y_t = silu(Σ_{l<W} w_l ⊙ x_{t-l} + b).

    Zeros stand before the first token and across borders of segments. Mamba, and most recurrent layers since,
    have one of width 4 on queries, keys and values.

    Args:
      channels: lengths of the axes after the tokens, by their logical names.
      width: W.
      bias: whether there is a b, from 0.
      silu: whether the sum goes through silu.
      param_dtype: of w and b.
      rngs: draws w.

    References:
      Gu & Dao, Mamba: Linear-Time Sequence Modeling with Selective State Spaces, 2023, arXiv:2312.00752.

    Example:
      >>> convolution = ShortConvolution({"heads": 2, "head_dim": 3}, rngs=nnx.Rngs(0))
      >>> out, tail = convolution(jnp.ones((1, 5, 2, 3)))
      >>> out.shape, tail.shape
      ((1, 5, 2, 3), (1, 3, 2, 3))
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        *,
        width: int = 4,
        bias: bool = False,
        silu: bool = True,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        start = nnx.initializers.normal(width**-0.5)
        shape = (width, *channels.values())
        self.kernel = nnx.Param(start(rngs.params(), shape, param_dtype), **named("width", *channels))
        self.bias: nnx.Param[Array] | None = nnx.data(None)
        if bias:
            self.bias = nnx.Param(jnp.zeros(shape[1:], param_dtype), **named(*channels))
        self.silu = silu

    def __call__(
        self,
        x: Float[Array, "..."],
        *,
        tail: Float[Array, "..."] | None = None,
        lengths: Int[Array, "*#B"] | None = None,
        segment_ids: Int[Array, "*#B T"] | None = None,
    ) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """Returns y, and the last W - 1 tokens for the call that goes on.

        Args:
          x: [*B, T, *channels].
          tail: [*B, W-1, *channels], what the call before left; None at the start.
          lengths: tokens of each row; what follows them is padding, which the tail does not see.
          segment_ids: tokens see none of another segment; they belong to calls without a tail.
        """
        total, tail = _convolved(x, self.kernel[...], tail, lengths, segment_ids)
        if self.bias is not None:
            total = total + of_rank(self.bias[...].astype(total.dtype), total.ndim)
        return jax.nn.silu(total) if self.silu else total, tail


def _spread(x: Any, *_: Any) -> Any:
    return (spec(*mesh_axes(x)),) * 2


@automatic(_spread)
def _convolved(x: Array, kernel: Array, tail: Array | None, lengths: Any, segment_ids: Any) -> Any:
    kernel = kernel.astype(x.dtype)
    width, axis = kernel.shape[0], x.ndim - kernel.ndim
    batch, length = x.shape[:axis], x.shape[axis]
    segment_ids, lengths = segments_and_lengths(segment_ids, lengths, batch, length)
    if tail is None:
        tail = jnp.zeros((*batch, width - 1, *kernel.shape[1:]), x.dtype)
    tokens = jnp.concatenate([tail.astype(x.dtype), x], axis)
    place = None
    if segment_ids is not None:
        place = places(batch, length, {"segment_ids": segment_ids}).place.reshape(*batch, length)
    total = of_rank(kernel[0], x.ndim) * x
    for lag in range(1, width):
        earlier = jax.lax.slice_in_dim(tokens, width - 1 - lag, width - 1 - lag + length, axis=axis)
        if place is not None:
            earlier = jnp.where(_over(place >= lag, earlier), earlier, 0)
        total = total + of_rank(kernel[lag], x.ndim) * earlier
    return total, _last(tokens, width - 1, lengths, axis).astype(tail.dtype)


def _last(tokens: Array, count: int, lengths: Any, axis: int) -> Array:
    """Returns the `count` tokens before each row's end; `tokens` begin with as many from before."""
    if lengths is None:
        return jax.lax.slice_in_dim(tokens, tokens.shape[axis] - count, None, axis=axis)
    end = jnp.broadcast_to(jnp.clip(lengths, 0, tokens.shape[axis] - count), tokens.shape[:axis])
    index = end[..., None] + of_rank(jnp.arange(count), end.ndim + 1)
    return jnp.take_along_axis(tokens, _over(index, tokens), axis=axis)


def _over(x: Array, tokens: Array) -> Array:
    """Returns x [*B, T] with axes of 1 for the channels of `tokens`."""
    return x.reshape(*x.shape, *[1] * (tokens.ndim - x.ndim))
