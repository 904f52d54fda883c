"""The baseline of detection: convolutions alone, where each cell of a grid says what has its middle there."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.models.detr_config import ResNetConfig
from attnjax.models.resnet import ResNet
from attnjax.ops.convolution import convolution
from attnjax.tasks.base import Arrays, Params
from attnjax.tasks.detection.config import SetLossConfig
from attnjax.tasks.detection.losses import TrueObjects, set_loss

LEARNING_RATE = 3e-3
WARMUP_SHARE = 0.1
"""Of the steps."""


class GridDetector(nnx.Module):
    """A detector without attention and queries: the backbone of a DETR, and an answer for each of its cells.

    Args:
      backbone: its shape.
      width: channels of the convolution behind it.
      labels: of objects.

    References:
      Redmon et al., You Only Look Once, 2015, arXiv:1506.02640 (a cell answers for the object whose middle it
      has).
    """

    def __init__(self, backbone: ResNetConfig, width: int, labels: int, *, rngs: nnx.Rngs) -> None:
        self.backbone = ResNet(backbone, {"dtype": jnp.float32, "param_dtype": jnp.float32}, rngs=rngs)
        self.mixed = nnx.Conv(backbone.widths[-1], width, (3, 3), conv_general_dilated=convolution, rngs=rngs)
        self.head = nnx.Conv(width, labels + 5, (1, 1), conv_general_dilated=convolution, rngs=rngs)

    def __call__(
        self, images: Float[Array, "B Y X C"]
    ) -> tuple[Float[Array, "B P L+1"], Float[Array, "B P 4"]]:
        """Returns the logits and boxes of the cells, row by row; the last label says that it is empty."""
        found = self.head(jax.nn.relu(self.mixed(self.backbone(images))))
        batch, height, width, _ = found.shape
        rows, columns = np.mgrid[:height, :width] + 0.5
        middles = jnp.asarray(np.stack([columns / width, rows / height], -1), found.dtype)
        cell = jnp.asarray([1 / width, 1 / height], found.dtype)
        moved = middles + cell * (jax.nn.sigmoid(found[..., :2]) - 0.5)
        boxes = jnp.concatenate([moved, jax.nn.sigmoid(found[..., 2:4])], axis=-1)
        return found[..., 4:].reshape(batch, height * width, -1), boxes.reshape(batch, -1, 4)


def cells_of(boxes: Float[Array, "B N 4"], height: int, width: int) -> Int[Array, "B N"]:
    """Returns the cell in which the middle of each box lies."""
    column, row = (
        jnp.clip((boxes[..., i] * size).astype(int), 0, size - 1) for i, size in enumerate((width, height))
    )
    return row * width + column


def trained_grid(
    model: GridDetector, batch: Callable[[int], Arrays], steps: int, side: int, loss: SetLossConfig
) -> Params:
    """Returns the parameters of a grid after steps of Adam: the loss of the set, cells instead of matching.

    Args:
      model: as it begins.
      batch: of a step, "images", "labels", "boxes" and "present".
      steps: of training.
      side: cells of a side.
      loss: the weights of its parts.
    """
    graphdef, params = nnx.split(model, nnx.Param)
    warm = max(1, int(WARMUP_SHARE * steps))
    schedule = optax.warmup_cosine_decay_schedule(0, LEARNING_RATE, warm, max(steps, warm + 1))
    optimizer = optax.adam(schedule)

    def cost(params: Params, arrays: Mapping[str, Array]) -> Array:
        logits, boxes = nnx.merge(graphdef, params)(arrays["images"])
        truth = TrueObjects(arrays["labels"], arrays["boxes"], arrays["present"])
        # Places without object point beyond the grid, where they change nothing.
        cells = jnp.where(truth.present, cells_of(truth.boxes, side, side), logits.shape[1])
        return set_loss(logits, boxes, truth, cells, loss).total(loss)

    @jax.jit
    def step(params: Params, state: optax.OptState, arrays: Arrays) -> tuple[Params, optax.OptState]:
        change, state = optimizer.update(jax.grad(cost)(params, arrays), state, params)
        return optax.apply_updates(params, change), state

    state = optimizer.init(params)
    for number in range(steps):
        params, state = step(params, state, batch(number))
    return params
