"""Images whose padding says nothing: means, maxima and keys over the pixels that there are."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops import masks
from attnjax.ops.masks import Mask


class Pixels(NamedTuple):
    """An image with 0 for padding, and where its pixels are; None: everywhere."""

    x: Float[Array, "*B Y X D"]
    real: Bool[Array, "*B Y X"] | None

    @property
    def keys(self) -> Mask | None:
        """The mask by which tokens in rows one below the other see pixels only."""
        if self.real is None:
            return None
        *batch, height, width = self.real.shape
        return masks.dense(self.real.reshape(*batch, 1, 1, height * width))

    @property
    def tokens(self) -> Float[Array, "*B T D"]:
        """The pixels, row after row."""
        *batch, height, width, dim = self.x.shape
        return self.x.reshape(*batch, height * width, dim)

    def mean(self) -> Float[Array, "*B D"]:
        """Returns the mean over the pixels; 0 where there are none."""
        if self.real is None:
            return self.x.mean((-3, -2))
        count = self.real.sum((-2, -1), dtype=self.x.dtype)[..., None]
        return self.x.sum((-3, -2)) / jnp.maximum(count, 1)

    def max(self) -> Float[Array, "*B D"]:
        """Returns the largest of each channel over the pixels; 0 where there are none."""
        if self.real is None:
            return self.x.max((-3, -2))
        most = jnp.where(self.real[..., None], self.x, -jnp.inf).max((-3, -2))
        return jnp.where(jnp.isneginf(most), 0, most)


def pixels(x: Float[Array, "*B Y X D"], dim: int, mask: Bool[Array, "*B Y X"] | None) -> Pixels:
    """Returns an image with 0 for padding.

    Args:
      x: the image.
      dim: D.
      mask: False for padding; None: there is none.

    Raises:
      ValueError: x is no image, not D wide, or the mask has another shape.

    Example:
      >>> pixels(jnp.ones((1, 2, 1)), 1, jnp.array([[True, False]])).mean().tolist()
      [1.0]
    """
    if x.ndim < 3 or x.shape[-1] != dim:
        raise ValueError(f"x {list(x.shape)}: expected (*B, Y, X, {dim})")
    if mask is None:
        return Pixels(x, None)
    if mask.shape != x.shape[:-1] or mask.dtype != bool:
        raise ValueError(
            f"mask {mask.dtype}{list(mask.shape)}: expected bool {list(x.shape[:-1])} (*B, Y, X)"
        )
    return Pixels(jnp.where(mask[..., None], x, 0), mask)
