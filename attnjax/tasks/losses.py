"""Losses that tasks share."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attnjax.ops.core.argmax import argmax
from attnjax.ops.core.dtypes import accumulation_dtype


def smoothed_cross_entropy(
    logits: Float[Array, "B T V"],
    labels: Int[Array, "B T"],
    counted: Bool[Array, "B T"],
    label_smoothing: float | Float[Array, ""],
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Returns the mean over the counted labels y of -(1-ε)·log p(y) - ε·mean_v log p(v), with its metrics.

    The metrics are "loss", "token_accuracy", the share of labels that are the likeliest token, and "weight",
    the number of labels.

    Args:
      logits: of every token at every place.
      labels: the right tokens; any number where they are not counted.
      counted: the places that have a label.
      label_smoothing: ε in [0, 1).

    References:
      Szegedy et al., Rethinking the Inception architecture for computer vision, 2016. arXiv:1512.00567.

    Example:
      >>> logits, labels = jnp.zeros((1, 2, 4)), jnp.array([[3, -1]])
      >>> loss, metrics = smoothed_cross_entropy(logits, labels, labels >= 0, 0.1)
      >>> print(round(float(loss), 4), float(metrics["weight"]))  # log 4
      1.3863 1.0
    """
    log_p = jax.nn.log_softmax(logits.astype(accumulation_dtype(logits)))
    known = jnp.where(counted, labels, 0)
    of_label = jnp.take_along_axis(log_p, known[..., None], axis=-1)[..., 0]
    losses = -(1 - label_smoothing) * of_label - label_smoothing * log_p.mean(-1)
    counts = counted.astype(jnp.float32)
    weight = counts.sum()
    loss = (losses * counts).sum() / weight
    accuracy = jnp.where(argmax(logits) == labels, counts, 0).sum() / weight
    return loss, {"loss": loss, "token_accuracy": accuracy, "weight": weight}


def of_labels(
    logits: Float[Array, "B L"], labels: Int[Array, " B"]
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Returns the cross-entropy of labels of whole inputs, with "loss", "right", their share, and "weight".

    Args:
      logits: of every label.
      labels: the right ones; a negative one is not counted.

    Example:
      >>> loss, metrics = of_labels(jnp.zeros((3, 2)), jnp.array([0, 1, -1]))
      >>> float(metrics["right"]), float(metrics["weight"])
      (0.5, 2.0)
    """
    labels = labels[:, None]
    loss, metrics = smoothed_cross_entropy(logits[:, None], labels, labels >= 0, 0.0)
    return loss, {"loss": loss, "right": metrics["token_accuracy"], "weight": metrics["weight"]}
