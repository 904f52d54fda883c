"""Boxes: how much two of them share."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def corners(boxes: Any) -> Any:
    """Returns left, top, right and bottom of boxes that are given by centre and size, [..., 4].

    >>> corners(np.array([0.5, 0.25, 0.5, 0.5])).tolist()
    [0.25, 0.0, 0.75, 0.5]
    """
    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    joined = np.concatenate if isinstance(boxes, np.ndarray) else jnp.concatenate
    return joined([middle - half, middle + half], axis=-1)


def generalised_iou(first: Float[Array, "*B 4"], second: Float[Array, "*B 4"]) -> Float[Array, "*B"]:
    """Returns |A∩B|/|A∪B| - (|C| - |A∪B|)/|C| of boxes by centre and size.

    C is the least box around both. It is 1 for equal boxes, and falls to -1 as they move apart. Leading axes
    broadcast.

    References:
      Rezatofighi et al., Generalized Intersection over Union, 2019, arXiv:1902.09630.

    Example:
      >>> left, right = jnp.array([0.25, 0.5, 0.5, 1.0]), jnp.array([0.75, 0.5, 0.5, 1.0])
      >>> [float(generalised_iou(left, box)) for box in (left, right)]
      [1.0, 0.0]
    """
    a, b = corners(first), corners(second)
    shared = _area(jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:]))
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - shared
    around = _area(jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:]))
    least = jnp.finfo(union.dtype).tiny ** 0.5
    union, around = jnp.maximum(union, least), jnp.maximum(around, least)
    return shared / union - (around - union) / around


def _area(low: Array, high: Array) -> Array:
    """Returns the areas between corners; 0 where they lie the wrong way round."""
    sides = jnp.maximum(high - low, 0)
    return sides[..., 0] * sides[..., 1]
