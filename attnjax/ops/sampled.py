"""Attention to points between the pixels of images: bilinear samples, weighted."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import floats


def bilinear_samples(
    image: Float[Array, "*B Y X N H"], places: Float[Array, "*B T N P 2"]
) -> Float[Array, "*B T N P H"]:
    """Returns what an image holds at places between its pixels, of each head.

    Pixel (i, j) covers the square from i to i + 1 down and from j to j + 1 to the right, in units of Y and X,
    and its value holds in the middle; beyond the edge is 0. It is `grid_sample` of PyTorch with zeros for
    padding and align_corners=False, whose places are 2·p - 1.

    Args:
      image: for each head.
      places: (x, y) for each query, head and point; 0 to 1 are inside of the image.

    Raises:
      TypeError: An argument is not floating point.
      ValueError: Shapes do not fit.

    Example:
      >>> image = jnp.arange(4.0).reshape(2, 2, 1, 1)
      >>> bilinear_samples(image, jnp.array([[[[0.25, 0.25], [0.5, 0.25]]]]))[0, 0, :, 0].tolist()
      [0.0, 0.5]
    """
    image, places = floats("image", image), floats("places", places)
    batch, (height, width, heads, size) = image.shape[:-4], image.shape[-4:]
    if places.ndim != len(batch) + 4 or places.shape[: len(batch)] != batch or places.shape[-1] != 2:
        raise ValueError(
            f"places {list(places.shape)}: expected {list(batch)} and (T, {heads}, P, 2), (*B, T, N, P, 2)"
        )
    if places.shape[-3] != heads:
        raise ValueError(f"places {list(places.shape)}: image has {heads} heads (*B, Y, X, N, H)")
    queries, points = places.shape[-4], places.shape[-2]
    at = jnp.moveaxis(places, -3, -4).reshape(*batch, heads, queries * points, 2)
    pixels = jnp.moveaxis(image, -2, -4).reshape(*batch, heads, height * width, size)
    x, y = at[..., 0] * width - 0.5, at[..., 1] * height - 0.5
    left, top = jnp.floor(x), jnp.floor(y)
    total = jnp.zeros((*batch, heads, queries * points, size), image.dtype)
    for down in (0, 1):
        for right in (0, 1):
            column, row = left + right, top + down
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            weight = (1 - jnp.abs(x - column)) * (1 - jnp.abs(y - row))
            index = jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
            found = jnp.take_along_axis(pixels, index.astype(jnp.int32)[..., None], axis=-2)
            total = total + jnp.where(inside, weight, 0).astype(image.dtype)[..., None] * found
    return jnp.moveaxis(total.reshape(*batch, heads, queries, points, size), -4, -3)


def deformable_attention(
    levels: Sequence[Float[Array, "*B Y X N H"]],
    places: Float[Array, "*B T N L P 2"],
    weights: Float[Array, "*B T N L P"],
) -> Float[Array, "*B T N H"]:
    """Returns Σ_l Σ_p w_lp·level_l(place_lp): the sum of samples of images of several sizes.

    Args:
      levels: L images, each of a size of its own.
      places: (x, y) for each query, head, level and point; 0 to 1 are inside of the image.
      weights: of the samples.

    Raises:
      TypeError: An argument is not floating point.
      ValueError: Shapes do not fit.

    References:
      Zhu et al., Deformable DETR: Deformable Transformers for End-to-End Object Detection, 2021,
      arXiv:2010.04159.

    Example:
      >>> level = jnp.ones((2, 2, 1, 3))
      >>> deformable_attention([level], jnp.full((5, 1, 1, 4, 2), 0.5), jnp.full((5, 1, 1, 4), 0.25)).shape
      (5, 1, 3)
    """
    if places.shape[-3] != len(levels) or weights.shape != places.shape[:-1]:
        raise ValueError(
            f"places {list(places.shape)}, weights {list(weights.shape)}: expected (*B, T, N, L, P, 2) and "
            f"(*B, T, N, L, P), L is {len(levels)}"
        )
    out = None
    for number, level in enumerate(levels):
        found = bilinear_samples(level, places[..., number, :, :])
        part = (weights[..., number, :, None].astype(found.dtype) * found).sum(-2)
        out = part if out is None else out + part
    assert out is not None
    return out
