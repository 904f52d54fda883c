"""ResNet with frozen statistics, as detectors have it."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from attnjax.models.detr_config import ResNetConfig
from attnjax.nn import named
from attnjax.ops.convolution import convolution

_EPS = 1e-5


class FrozenNorm(nnx.Module):
    """Batch norm whose statistics, gain and bias stay: g (x - μ)/√(σ² + ε) + b. No gradient reaches them.

    Args:
      channels: of x.
      param_dtype: of g, b, μ and σ².

    References:
      Ioffe & Szegedy, Batch Normalization, 2015, arXiv:1502.03167.

    Example:
      >>> FrozenNorm(3)(jnp.ones((1, 2, 2, 3))).shape
      (1, 2, 2, 3)
    """

    def __init__(self, channels: int, *, param_dtype: Any = jnp.float32) -> None:
        def constant(value: float) -> nnx.Param[Array]:
            return nnx.Param(jnp.full((channels,), value, param_dtype), **named("embed"))

        self.scale, self.variance = constant(1), constant(1)
        self.bias, self.mean = constant(0), constant(0)

    def __call__(self, x: Float[Array, "B Y X C"]) -> Float[Array, "B Y X C"]:
        """Returns the image under the norm."""
        values = (self.scale, self.variance, self.bias, self.mean)
        scale, variance, bias, mean = (jax.lax.stop_gradient(value[...]) for value in values)
        gain = scale * jax.lax.rsqrt(variance + jnp.asarray(_EPS, variance.dtype))
        return x * gain.astype(x.dtype) + (bias - mean * gain).astype(x.dtype)


class Convolved(nnx.Module):
    """A convolution without bias, under a frozen norm.

    Args:
      inputs: channels of the image.
      outputs: channels of the result.
      size: of the kernel, along both sides.
      stride: pixels between two results.
      dtypes: dtype and param_dtype.
      rngs: draws the kernel.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int, dtypes: dict[str, Any], *, rngs: nnx.Rngs
    ) -> None:
        self.convolution = nnx.Conv(
            inputs,
            outputs,
            (size, size),
            strides=stride,
            padding=((size // 2, size // 2),) * 2,
            use_bias=False,
            conv_general_dilated=convolution,
            kernel_metadata=named("height", "width", "channel", "embed"),
            rngs=rngs,
            **dtypes,
        )
        self.norm = FrozenNorm(outputs, param_dtype=dtypes["param_dtype"])

    def __call__(self, x: Float[Array, "B Y X C"]) -> Float[Array, "B Y/s X/s D"]:
        """Returns the convolved image."""
        return self.norm(self.convolution(x))


class ResNetBlock(nnx.Module):
    """A residual block: convolutions, of which all but the last go through relu, added to x.

    Args:
      inputs: channels of x.
      outputs: channels of the result.
      stride: pixels of x between two of the result; x goes through a convolution where it has to change too.
      config: of the network.
      dtypes: dtype and param_dtype.
      rngs: draws the kernels.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        config: ResNetConfig,
        dtypes: dict[str, Any],
        *,
        rngs: nnx.Rngs,
    ) -> None:
        narrow, first = outputs // 4, stride if config.early_stride else 1
        plan = [(inputs, outputs, 3, stride), (outputs, outputs, 3, 1)]
        if config.bottleneck:
            plan = [(inputs, narrow, 1, first), (narrow, narrow, 3, stride // first), (narrow, outputs, 1, 1)]
        self.layers = nnx.List([Convolved(*sizes, dtypes, rngs=rngs) for sizes in plan])
        changes = inputs != outputs or stride != 1
        self.shortcut = Convolved(inputs, outputs, 1, stride, dtypes, rngs=rngs) if changes else None

    def __call__(self, x: Float[Array, "B Y X C"]) -> Float[Array, "B Y/s X/s D"]:
        """Applies the block."""
        y = x
        for i, layer in enumerate(self.layers):
            y = layer(y)
            y = jax.nn.relu(y) if i + 1 < len(self.layers) else y
        return jax.nn.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nnx.Module):
    """A convolutional network: a stem, then stages of residual blocks.

    Args:
      config: its shape.
      dtypes: dtype and param_dtype.
      rngs: draws the kernels.

    References:
      He et al., Deep Residual Learning for Image Recognition, 2015, arXiv:1512.03385.

    Example:
      >>> config = ResNetConfig(stem=4, widths=(8, 16), depths=(1, 1))
      >>> dtypes = {"dtype": jnp.float32, "param_dtype": jnp.float32}
      >>> ResNet(config, dtypes, rngs=nnx.Rngs(0))(jnp.ones((1, 32, 24, 3))).shape
      (1, 4, 3, 16)
    """

    def __init__(self, config: ResNetConfig, dtypes: dict[str, Any], *, rngs: nnx.Rngs) -> None:
        self.stem = Convolved(config.channels, config.stem, 7, 2, dtypes, rngs=rngs)
        stages, inputs = [], config.stem
        for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            blocks = []
            for i in range(depth):
                stride = 2 if stage and not i else 1
                blocks.append(ResNetBlock(inputs, width, stride, config, dtypes, rngs=rngs))
                inputs = width
            stages.append(nnx.List(blocks))
        self.stages = nnx.List(stages)

    def __call__(self, images: Float[Array, "B Y X C"]) -> Float[Array, "B Y/s X/s D"]:
        """Returns the image of the last stage."""
        x = jax.nn.relu(self.stem(images))
        x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        for blocks in self.stages:
            for block in blocks:
                x = block(x)
        return x
