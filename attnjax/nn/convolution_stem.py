"""Images as grids of vectors by convolutions, in the place of a linear map of patches."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.axes import named
from attnjax.nn.norm import make_norm
from attnjax.nn.spatial.channels import CBAM, SqueezeExcite
from attnjax.ops.convolution import convolution

_TAPS = 3
_LEAST_CHANNELS = 16
CHANNEL_GATES: dict[str, Any] = {"convolution": None, "squeeze_excite": SqueezeExcite, "cbam": CBAM}
"""The gates of a residual branch, by the name of a stem."""


class ConvolutionStage(nnx.Module):
    """A convolution of 3 × 3 that halves the sides, then a residual one, whose branch may be gated.

    y = relu(norm(K₁ * x)), then relu(y + gate(norm(K₂ * y))); norms are of each pixel's channels.

    Args:
      inputs: channels of the image.
      outputs: channels of the result.
      gate: of the branch: SqueezeExcite, CBAM, or None.
      dtype: of the computation.
      param_dtype: of the parameters.
      rngs: draws the kernels.

    References:
      He et al., Deep Residual Learning for Image Recognition, 2015, arXiv:1512.03385.
      Hu et al., Squeeze-and-Excitation Networks, 2018, arXiv:1709.01507 (where the gate stands).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        gate: Any,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}

        def layer(channels: int, stride: int) -> nnx.Conv:
            return nnx.Conv(
                channels,
                outputs,
                (_TAPS, _TAPS),
                strides=stride,
                padding=((1, 1), (1, 1)),
                use_bias=False,
                conv_general_dilated=convolution,
                kernel_metadata=named("height", "width", "channel", "embed"),
                **common,
            )

        self.halving, self.residual = layer(inputs, 2), layer(outputs, 1)
        self.halving_norm, self.residual_norm = (make_norm("layer", outputs, **common) for _ in range(2))
        self.gate = None if gate is None else gate(outputs, 1, **common)

    def __call__(self, x: Float[Array, "B Y X C"]) -> Float[Array, "B Y/2 X/2 D"]:
        """Returns an image of half the sides."""
        x = jax.nn.relu(self.halving_norm(self.halving(x)))
        change = self.residual_norm(self.residual(x))
        return jax.nn.relu(x + (change if self.gate is None else self.gate(change).out))


class ConvolutionStem(nnx.Module):
    """Stages of convolutions, each of which halves the sides, until one vector stands for P × P pixels.

    The last stage has D channels, each one before it half as many, but no fewer than 16.

    Args:
      size: P, a power of two, 2 or more.
      channels: C.
      dim: D.
      kind: "convolution", or the gate of each residual branch: "squeeze_excite" or "cbam".
      dtype: of the computation.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: P is no power of two, or there is no such kind.

    Example:
      >>> ConvolutionStem(4, 3, 32, "cbam", rngs=nnx.Rngs(0))(jnp.ones((1, 8, 12, 3))).shape
      (1, 2, 3, 32)
    """

    def __init__(
        self,
        size: int,
        channels: int,
        dim: int,
        kind: str = "convolution",
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        stages = size.bit_length() - 1
        if size < 2 or size != 1 << stages:
            raise ValueError(f"size {size}: expected a power of two, 2 or more")
        if kind not in CHANNEL_GATES:
            raise ValueError(f"kind {kind!r}: expected one of {', '.join(CHANNEL_GATES)}")
        self.size, self.channels = size, channels
        widths = [max(dim >> after, min(dim, _LEAST_CHANNELS)) for after in reversed(range(stages))]
        self.stages = nnx.List(
            ConvolutionStage(*sides, CHANNEL_GATES[kind], dtype=dtype, param_dtype=param_dtype, rngs=rngs)
            for sides in zip([channels, *widths[:-1]], widths, strict=True)
        )

    def __call__(self, images: Float[Array, "B Y X C"]) -> Float[Array, "B Y/P X/P D"]:
        """Returns the vectors of the grid.

        Raises:
          ValueError: The image has other channels, or its sides are no multiples of P.
        """
        height, width, channels = images.shape[-3:]
        if images.ndim != 4 or channels != self.channels or height % self.size or width % self.size:
            raise ValueError(
                f"images {list(images.shape)}: expected (B, height, width, {self.channels}), sides in "
                f"multiples of {self.size} pixels"
            )
        for stage in self.stages:
            images = stage(images)
        return images
