"""Attention to channels, and of CBAM to places: gates of an image that are computed from all of it."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.axes import named
from attnjax.nn.projection import into_heads
from attnjax.nn.spatial.pixels import pixels
from attnjax.ops.convolution import convolution
from attnjax.ops.core.checks import count


class SqueezeExcite(nnx.Module):
    """Squeeze and excitation: x ⊙ σ(V ReLU(U mean(x))), one gate for each channel.

    Args:
      dim: D.
      heads: not used.
      reduction: U makes D/reduction numbers, at least one.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1.

    References:
      Hu et al., Squeeze-and-Excitation Networks, 2018, arXiv:1709.01507.

    Example:
      >>> layer = SqueezeExcite(8, 1, reduction=2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 4, 5, 8))).out.shape
      (2, 4, 5, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        reduction: int = 16,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim = count("dim", dim)
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        hidden = max(dim // count("reduction", reduction), 1)
        self.squeeze = into_heads(dim, {"mlp": hidden}, **common)
        self.excite = into_heads(hidden, {"embed": dim}, source="mlp", **common)

    def __call__(
        self, x: Float[Array, "*B Y X D"], *, mask: Bool[Array, "*B Y X"] | None = None
    ) -> AttentionOutput:
        """Weighs the channels of an image; the mask is False for padding.

        Raises:
          ValueError: Shapes do not fit.
        """
        seen = pixels(x, self.dim, mask)
        gate = jax.nn.sigmoid(self._gate(seen.mean()))
        return AttentionOutput(seen.x * gate[..., None, None, :])

    def _gate(self, pooled: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        return self.excite(jax.nn.relu(self.squeeze(pooled)))


class CBAM(SqueezeExcite):
    """Attention to channels, x' = x ⊙ σ(m(mean x) + m(max x)), then to places, x' ⊙ σ(K * [mean x', max x']).

    m is the network of `SqueezeExcite`, of the mean and maximum over places. K is a convolution over places,
    of the mean and maximum over channels.

    Args:
      dim: D.
      heads: not used.
      reduction: as in `SqueezeExcite`.
      kernel: pixels along each side of K.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1.

    References:
      Woo et al., CBAM: Convolutional Block Attention Module, 2018, arXiv:1807.06521.

    Example:
      >>> layer = CBAM(8, 1, reduction=2, kernel=3, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 4, 5, 8))).out.shape
      (2, 4, 5, 8)
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        reduction: int = 16,
        kernel: int = 7,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        super().__init__(dim, heads, reduction=reduction, **common)
        size = count("kernel", kernel)
        self.places = nnx.Conv(
            2,
            1,
            (size, size),
            use_bias=False,
            conv_general_dilated=convolution,
            kernel_metadata=named("width", "width", "embed", "embed"),
            **common,
        )

    def __call__(
        self, x: Float[Array, "*B Y X D"], *, mask: Bool[Array, "*B Y X"] | None = None
    ) -> AttentionOutput:
        """Weighs the channels and places of an image; the mask is False for padding.

        Raises:
          ValueError: Shapes do not fit.
        """
        seen = pixels(x, self.dim, mask)
        channels = jax.nn.sigmoid(self._gate(seen.mean()) + self._gate(seen.max()))
        x = seen.x * channels[..., None, None, :]
        both = jnp.stack([x.mean(-1), x.max(-1)], axis=-1)
        return AttentionOutput(x * jax.nn.sigmoid(self.places(both)))


class EfficientChannels(nnx.Module):
    """Efficient channel attention: x ⊙ σ(w * mean(x)), a short convolution over neighbouring channels.

    Args:
      dim: D.
      heads: not used.
      kernel: channels that w takes in, an odd number; None: the odd number near (log₂ D + 1)/2.
      dtype: of the output; None: what inputs and parameters promote to.
      param_dtype: of w.
      rngs: draws w.

    Raises:
      ValueError: A size is below 1, or the kernel even.

    References:
      Wang et al., ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks, 2020,
      arXiv:1910.03151.

    Example:
      >>> layer = EfficientChannels(64, 1, rngs=nnx.Rngs(0))
      >>> layer.kernel.shape, layer(jnp.ones((2, 4, 5, 64))).out.shape
      ((3,), (2, 4, 5, 64))
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        kernel: int | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.dtype = count("dim", dim), dtype
        size = int((math.log2(dim) + 1) / 2) | 1 if kernel is None else count("kernel", kernel)
        if size % 2 == 0:
            raise ValueError(f"kernel {size}: expected an odd number of channels")
        start = nnx.initializers.normal(size**-0.5)(rngs.params(), (size,), param_dtype)
        self.kernel = nnx.Param(start, **named("width"))

    def __call__(
        self, x: Float[Array, "*B Y X D"], *, mask: Bool[Array, "*B Y X"] | None = None
    ) -> AttentionOutput:
        """Weighs the channels of an image; the mask is False for padding.

        Raises:
          ValueError: Shapes do not fit.
        """
        seen = pixels(x if self.dtype is None else x.astype(self.dtype), self.dim, mask)
        kernel = self.kernel[...].astype(seen.x.dtype)
        half = len(kernel) // 2
        pooled = seen.mean()
        wide = jnp.pad(pooled, [(0, 0)] * (pooled.ndim - 1) + [(half, half)])
        total = jnp.zeros_like(pooled)
        for number in range(len(kernel)):
            total = total + kernel[number] * wide[..., number : number + self.dim]
        return AttentionOutput(seen.x * jax.nn.sigmoid(total)[..., None, None, :])
