"""Deformable attention: every pixel reads a few points, wherever it decides."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.sizes import require_sizes
from attnjax.nn.projection import into_heads
from attnjax.nn.spatial.pixels import pixels
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.sampled import deformable_attention


class DeformableAttention(nnx.Module):
    """Attention of every pixel to P points of each level: O Σ_lp A_lp v_l(p_l + Δ_lp).

    The offsets Δ, in pixels of the level, and the weights A, a softmax over levels and points, are linear in
    the pixel that reads. Offsets begin at 1 to P pixels in a direction of each head.

    Args:
      dim: D.
      heads: N.
      points: P.
      levels: L, images that are read.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1, or the heads do not divide D.

    References:
      Zhu et al., Deformable DETR: Deformable Transformers for End-to-End Object Detection, 2021,
      arXiv:2010.04159.

    Example:
      >>> layer = DeformableAttention(8, 2, levels=2, rngs=nnx.Rngs(0))
      >>> x = jnp.ones((1, 4, 6, 8))
      >>> layer(x, [x, x[:, ::2, ::2]]).out.shape
      (1, 4, 6, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        points: int = 4,
        levels: int = 1,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        require_sizes(dim, heads, kv_heads=None, head_dim=None)
        self.dim, self.heads = dim, heads
        self.points, self.levels = count("points", points), count("levels", levels)
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        each = {"heads": heads, "levels": levels, "slots": points}
        self.offsets = into_heads(
            dim,
            {**each, "width": 2},
            bias_init=lambda *_: _ring(heads, levels, points, param_dtype),
            **common,
        )
        self.weights = into_heads(dim, each, **common)
        self.value = into_heads(dim, {"heads": heads, "head_dim": dim // heads}, **common)
        self.out = into_heads(dim, {"embed": dim}, **common)
        for linear in (self.offsets, self.weights):
            linear.kernel[...] = jnp.zeros_like(linear.kernel[...])

    def __call__(
        self,
        x: Float[Array, "*B Y X D"],
        levels: Sequence[Float[Array, "*B Y X D"]] | None = None,
        *,
        mask: Sequence[Bool[Array, "*B Y X"]] | Bool[Array, "*B Y X"] | None = None,
    ) -> AttentionOutput:
        """Attends from every pixel of x.

        Args:
          x: the image that reads.
          levels: the images that are read; None: x itself.
          mask: False for padding, of each image that is read.

        Raises:
          ValueError: Shapes do not fit, or there are not as many images as levels.
        """
        tokens = pixels(x, self.dim, None).tokens
        images = [x] if levels is None else list(levels)
        real: list[Any] = [mask] * len(images) if mask is None or levels is None else list(mask)
        if len(images) != self.levels or len(real) != self.levels:
            raise ValueError(f"{len(images)} levels, {len(real)} masks: expected {self.levels} of each")
        values = [
            self.value(image)
            if seen.real is None
            else jnp.where(seen.real[..., None, None], self.value(seen.x), 0)
            for image, kept in zip(images, real, strict=True)
            for seen in [pixels(image, self.dim, kept)]
        ]
        height, width = x.shape[-3:-1]
        wide = accumulation_dtype(tokens)
        row, column = jnp.divmod(jnp.arange(height * width), width)
        corner = jnp.stack([column, row], -1).astype(wide)
        middle = (corner + 0.5) / jnp.asarray([width, height], wide)
        sizes = jnp.asarray([(image.shape[-2], image.shape[-3]) for image in images], wide)
        places = middle[:, None, None, None] + self.offsets(tokens).astype(wide) / sizes[:, None]
        scores = self.weights(tokens).astype(wide)
        flat = jax.nn.softmax(scores.reshape(*scores.shape[:-2], self.levels * self.points), axis=-1)
        out = deformable_attention(values, places, flat.reshape(scores.shape))
        return AttentionOutput(self.out(out.reshape(tokens.shape)).reshape(x.shape))


def _ring(heads: int, levels: int, points: int, dtype: DTypeLike) -> Float[Array, "N L P 2"]:
    """Returns offsets of 1 to P pixels, in a direction of each head; the longer of x and y is that long."""
    angle = 2 * np.pi * np.arange(heads) / heads
    ring = np.stack([np.cos(angle), np.sin(angle)], -1)
    ring = ring / np.abs(ring).max(-1, keepdims=True)
    far = ring[:, None, None] * np.arange(1, points + 1)[:, None]
    return jnp.asarray(np.broadcast_to(far, (heads, levels, points, 2)), dtype)
