"""Frames of sound as vectors, half as many."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.axes import named
from attnjax.ops.convolution import convolution

_TAPS, _STRIDE = 3, 2


class FrameEmbedding(nnx.Module):
    """Two convolutions over three frames, each with GELU, the second of every other frame, and positions.

    Args:
      channels: F, the numbers of a frame, such as the bands of a mel spectrum.
      dim: D.
      max_length: the rows of the learned table of positions.
      dtype: of the vectors.
      param_dtype: of the parameters.
      rngs: draws them; positions start as N(0, 0.02²).

    References:
      Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, 2022, arXiv:2212.04356.

    Example:
      >>> FrameEmbedding(5, 8, max_length=4, rngs=nnx.Rngs(0))(jnp.ones((2, 6, 5))).shape
      (2, 3, 8)
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        *,
        max_length: int,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        def layer(inputs: int, stride: int) -> nnx.Conv:
            return nnx.Conv(
                inputs,
                dim,
                (_TAPS,),
                strides=stride,
                padding=((1, 1),),
                conv_general_dilated=convolution,
                kernel_metadata=named("tap", "channel", "embed"),
                bias_metadata=named("embed"),
                dtype=dtype,
                param_dtype=param_dtype,
                rngs=rngs,
            )

        self.channels = channels
        self.first = layer(channels, 1)
        self.second = layer(dim, _STRIDE)
        start = nnx.initializers.normal(0.02)(rngs.params(), (max_length, dim), param_dtype)
        self.positions = nnx.Param(start, **named("position", "embed"))

    def __call__(self, frames: Float[Array, "B S F"], places: Any = None) -> Float[Array, "B S/2 D"]:
        """Returns the vectors.

        Args:
          frames: the frames.
          places: of the vectors; None: they count from 0.

        Raises:
          ValueError: The frames have other channels, or are more than the table has rows for.
        """
        if frames.ndim != 3 or frames.shape[-1] != self.channels:
            raise ValueError(f"frames {list(frames.shape)}: expected (B, S, {self.channels})")
        x = jax.nn.gelu(self.first(frames), approximate=False)
        x = jax.nn.gelu(self.second(x), approximate=False)
        rows, table = x.shape[1], self.positions[...].astype(x.dtype)
        if rows > table.shape[0]:
            raise ValueError(f"{rows} vectors of frames: the table of positions has {table.shape[0]} rows")
        return x + (table[:rows] if places is None else table[places])

    @staticmethod
    def length(frames: int) -> int:
        """Returns the number of vectors that so many frames make."""
        return -(-frames // _STRIDE)
