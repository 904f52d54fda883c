"""The loss of every task that predicts tokens."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def smoothed_cross_entropy(
    logits: Float[Array, "B T V"],
    labels: Int[Array, "B T"],
    counted: Bool[Array, "B T"],
    label_smoothing: float | Float[Array, ""],
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Mean over the counted labels y of -(1-ε)·log p(y) - ε·mean_v log p(v), with its metrics.

    ε is the label smoothing (Szegedy et al. 2016). Metrics: the loss, the accuracy of the likeliest token,
    and the number of labels as "weight". What is not counted may be any number.

    >>> logits, labels = jnp.zeros((1, 2, 4)), jnp.array([[3, -1]])
    >>> loss, metrics = smoothed_cross_entropy(logits, labels, labels >= 0, 0.1)
    >>> print(round(float(loss), 4), float(metrics["weight"]))  # log 4
    1.3863 1.0
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)))
    known = jnp.where(counted, labels, 0)
    of_label = jnp.take_along_axis(log_p, known[..., None], axis=-1)[..., 0]
    losses = -(1 - label_smoothing) * of_label - label_smoothing * log_p.mean(-1)
    counts = counted.astype(jnp.float32)
    weight = counts.sum()
    loss = (losses * counts).sum() / weight
    accuracy = jnp.where(logits.argmax(-1) == labels, counts, 0).sum() / weight
    return loss, {"loss": loss, "token_accuracy": accuracy, "weight": weight}
