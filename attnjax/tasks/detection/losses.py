"""The loss of a set of objects: each true one is compared with the query that is matched to it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attnjax.tasks.detection.boxes import generalised_iou
from attnjax.tasks.detection.config import SetLossConfig
from attnjax.tasks.detection.matching import assigned


class TrueObjects(NamedTuple):
    """The objects of images; behind those of an image stand empty places.

    Attributes:
      labels: of the objects.
      boxes: the centre's x and y, width and height, in shares of the image.
      present: False for an empty place.
    """

    labels: Int[Array, "B N"]
    boxes: Float[Array, "B N 4"]
    present: Bool[Array, "B N"]


class SetLoss(NamedTuple):
    """The parts of the loss, means over images: the sums over an image's queries or objects.

    Attributes:
      label: the weighted cross-entropy of all queries.
      l1: the distance of the matched boxes, the sum over their four numbers.
      giou: 1 minus the generalised intersection over union of the matched boxes.
    """

    label: Float[Array, ""]
    l1: Float[Array, ""]
    giou: Float[Array, ""]

    def total(self, config: SetLossConfig) -> Float[Array, ""]:
        """Returns the weighted sum."""
        return self.label + config.l1 * self.l1 + config.giou * self.giou


def matched(
    logits: Float[Array, "B Q L+1"], boxes: Float[Array, "B Q 4"], truth: TrueObjects, config: SetLossConfig
) -> Int[Array, "B N"]:
    """Returns the query of each object: those of the least sum of costs; empty places get what is left.

    The cost of a pair is -p(label) + λ₁‖b - b'‖₁ - λ₂ GIoU(b, b').

    References:
      Carion et al., End-to-End Object Detection with Transformers, 2020, arXiv:2005.12872.
    """
    p = jax.nn.softmax(logits.astype(jnp.float32))
    labels = jnp.take_along_axis(p, truth.labels[:, None, :], axis=-1).swapaxes(1, 2)
    given, right = boxes[:, None].astype(jnp.float32), truth.boxes[:, :, None]
    far = jnp.abs(given - right).sum(-1)
    costs = config.l1 * far - config.giou * generalised_iou(given, right) - labels
    found: Int[Array, "B N"] = jax.vmap(assigned)(jnp.where(truth.present[..., None], costs, 0))
    return jax.lax.stop_gradient(found)


def set_loss(
    logits: Float[Array, "B Q L+1"],
    boxes: Float[Array, "B Q 4"],
    truth: TrueObjects,
    queries: Int[Array, "B N"],
    config: SetLossConfig,
) -> SetLoss:
    """Returns the loss of answers, where `queries` says which of them stands for which object.

    A query that stands for none has the last label, with the weight that the config gives it.
    """
    nothing = logits.shape[-1] - 1
    labels = jax.vmap(lambda at, own: jnp.full(logits.shape[1], nothing).at[at].set(own))(
        queries, jnp.where(truth.present, truth.labels, nothing)
    )
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    chosen = -jnp.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0]
    weights = jnp.where(labels == nothing, config.nothing, 1.0)
    own = jnp.take_along_axis(boxes, queries[..., None], axis=1).astype(jnp.float32)
    count = len(queries)
    far = jnp.abs(own - truth.boxes).sum(-1)
    apart = 1 - generalised_iou(own, truth.boxes)
    return SetLoss(
        (weights * chosen).sum() / count,
        jnp.where(truth.present, far, 0).sum() / count,
        jnp.where(truth.present, apart, 0).sum() / count,
    )
