"""Changes of images in training, drawn anew at every step as a pure function of (seed, step)."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float32, Int

from attnjax.data.images.config import AugmentConfig

Batch = Float32[np.ndarray, "B Y X C"]
Rows = Int[np.ndarray, " B"]


def augmented(
    images: Batch, config: AugmentConfig, seed: int, step: int, rows: Rows | None = None, count: int = 0
) -> Batch:
    """Returns the images of a step's batch, each changed in its own way: cut, turned, coloured, covered.

    Args:
      images: numbers from 0 to 1.
      config: what is done, and how much.
      seed: of all steps.
      step: of training; with the seed it decides what is drawn.
      rows: of the images in the batch of all hosts; None: the images are all of it, in their order.
      count: of the rows of that batch, where `rows` says which these are.

    Example:
      >>> images = np.zeros((2, 4, 4, 1), np.float32)
      >>> images[:, :, 0] = 1
      >>> flipped = augmented(images, AugmentConfig(flip=1.0), 0, 0)
      >>> flipped[:, 0, :, 0].tolist()
      [[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]
    """
    if not config.any:
        return images
    rng = np.random.default_rng([seed, step])
    rows = np.arange(len(images)) if rows is None else rows
    count = max(count, len(images))
    # All is drawn, whatever is used: to turn one change on leaves the draws of the others.
    offsets = rng.integers(0, 2 * config.crop + 1, (count, 2))[rows]
    turned = rng.random(count)[rows] < config.flip
    gains = rng.uniform(-1, 1, (2, count, 1, 1, images.shape[-1])).astype(np.float32)[:, rows]
    centres = rng.random((count, 2))[rows]
    images = _cropped(images, offsets, config.crop)
    images = np.where(turned[:, None, None, None], images[:, :, ::-1], images)
    if config.colour:
        contrast, brightness = config.colour * gains
        middle = images.mean((1, 2), keepdims=True)
        images = np.clip((images - middle) * (1 + contrast) + middle + brightness, 0, 1)
    return _covered(images, centres, config.cutout) if config.cutout else images


def mixed(
    make: Callable[[Rows], Mapping[str, np.ndarray]],
    rows: Rows,
    count: int,
    alpha: float,
    seed: int,
    step: int,
) -> dict[str, np.ndarray]:
    """Returns rows of a batch, each λ of itself and 1 - λ of another, λ from Beta(α, α) for the batch.

    Args:
      make: returns arrays of numbers with an example for each row of the batch that it is asked for, such as
        images and one-hot labels.
      rows: those that are wanted; the others may be of another host.
      count: of the rows of the batch.
      alpha: α; 0: the batch is as it was.
      seed: of all steps.
      step: of training.

    References:
      Zhang et al., mixup: Beyond Empirical Risk Minimization, 2017, arXiv:1710.09412.

    Example:
      >>> made = mixed(lambda rows: {"x": rows.astype(float)}, np.arange(2), 2, 1.0, 0, 0)["x"]
      >>> bool(((made >= 0) & (made <= 1)).all())
      True
    """
    if not alpha:
        return dict(make(rows))
    # A third word: the draws are others than those of `augmented`.
    rng = np.random.default_rng([seed, step, 1])
    share = np.float32(rng.beta(alpha, alpha))
    others = rng.permutation(count)[rows]
    needed = np.union1d(rows, others)
    own, other = np.searchsorted(needed, rows), np.searchsorted(needed, others)
    return {name: share * array[own] + (1 - share) * array[other] for name, array in make(needed).items()}


def _cropped(images: Batch, offsets: np.ndarray, most: int) -> Batch:
    """Returns each image moved by up to so many pixels; what comes in is the nearest pixel of the border."""
    if not most:
        return images
    count, height, width, _ = images.shape
    wide = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    rows = offsets[:, :1] + np.arange(height)
    columns = offsets[:, 1:] + np.arange(width)
    return wide[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _covered(images: Batch, centres: np.ndarray, share: float) -> Batch:
    """Returns each image with a square of this share of a side in grey, whose middle lies in the image."""
    height, width = images.shape[1:3]
    rows, columns = (
        np.abs(np.arange(side) + 0.5 - centres[:, axis, None] * side) <= share * side / 2
        for axis, side in enumerate((height, width))
    )
    hidden = rows[:, :, None, None] & columns[:, None, :, None]
    return np.where(hidden, np.float32(0.5), images)
