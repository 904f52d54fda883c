"""Images as grids of vectors, one for each patch, and tables of positions for grids of other sizes."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from attnjax.nn.axes import named
from attnjax.nn.dot import flat_dot_general
from attnjax.ops.core.dtypes import accumulation_dtype

_SHARPNESS = -0.75
"""The slope of the cubic kernel one pixel away from its middle, as OpenCV and PyTorch have it."""


class Patches(nnx.Module):
    """A linear map of each patch of an image, the same for all.

    Args:
      size: P, the pixels of a side of a patch.
      channels: C.
      dim: D.
      options: bias, dtypes, rngs and anything else that `nnx.LinearGeneral` takes.

    References:
      Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, arXiv:2010.11929.

    Example:
      >>> Patches(2, 3, 8, rngs=nnx.Rngs(0))(jnp.ones((1, 4, 6, 3))).shape
      (1, 2, 3, 8)
    """

    def __init__(self, size: int, channels: int, dim: int, **options: Any) -> None:
        self.size = size
        self.channels = channels
        self.project = nnx.LinearGeneral(
            (size, size, channels),
            dim,
            axis=(-3, -2, -1),
            kernel_metadata=named("height", "width", "channel", "embed"),
            bias_metadata=named("embed"),
            dot_general=flat_dot_general,
            **options,
        )

    def __call__(self, images: Float[Array, "*B Y X C"]) -> Float[Array, "*B Y/P X/P D"]:
        """Returns the vectors of the patches.

        Raises:
          ValueError: The image has other channels, or its sides are no multiples of P.
        """
        *batch, height, width, channels = images.shape
        size = self.size
        if channels != self.channels or height % size or width % size:
            raise ValueError(
                f"images {list(images.shape)}: expected (*B, height, width, {self.channels}), sides in "
                f"multiples of {size} pixels"
            )
        cut = images.reshape(*batch, height // size, size, width // size, size, channels)
        return self.project(jnp.swapaxes(cut, -4, -3))


def with_masked(
    x: Float[Array, "B P D"], masked: Bool[Array, "B P"], token: nnx.Param | None
) -> Float[Array, "B P D"]:
    """Returns the patches of images with a learned vector in the place of those that are masked.

    Raises:
      ValueError: The mask has another shape, or there is no such vector.
    """
    if token is None or masked.shape != x.shape[:2]:
        raise ValueError(f"masked {list(masked.shape)}: expected {list(x.shape[:2])}, and config.mask_token")
    return jnp.where(masked[..., None], token[...].astype(x.dtype), x)


def resized(table: Float[Array, "y x D"], height: int, width: int) -> Float[Array, "height width D"]:
    """Returns a grid of vectors in another size, by bicubic interpolation between the middles of its cells.

    Args:
      table: the grid; of the same size it comes back as it is.
      height: rows of the result.
      width: columns of the result.

    References:
      Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981.

    Example:
      >>> resized(jnp.ones((2, 2, 1)), 3, 4)[..., 0].tolist()
      [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    if table.shape[:2] == (height, width):
        return table
    exact = accumulation_dtype(table)
    rows, columns = (
        jnp.asarray(_cubic(old, new), exact) for old, new in zip(table.shape, (height, width), strict=False)
    )
    return jnp.einsum("ay,bx,yxd->abd", rows, columns, table.astype(exact)).astype(table.dtype)


def _cubic(old: int, new: int) -> np.ndarray:
    """Returns the weights [new, old] of old values in new ones; those beyond the border are the last ones."""
    at = (np.arange(new) + 0.5) * old / new - 0.5
    first = np.floor(at).astype(int)
    weights = np.zeros((new, old))
    for step in (-1, 0, 1, 2):
        x = np.abs(at - first - step)
        near = ((_SHARPNESS + 2) * x - (_SHARPNESS + 3)) * x * x + 1
        far = _SHARPNESS * (((x - 5) * x + 8) * x - 4)
        np.add.at(weights, (np.arange(new), np.clip(first + step, 0, old - 1)), np.where(x <= 1, near, far))
    return weights
