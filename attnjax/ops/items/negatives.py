"""Losses of an item against a few that were drawn."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def sampled_softmax_loss(
    positive: Float[Array, "*B"],
    negatives: Float[Array, "*B K"],
    hits: Bool[Array, "*B K"],
    *,
    items: int,
) -> Float[Array, "*B"]:
    """Returns the cross-entropy of an item among itself and K items, drawn evenly from all.

    Scores of the K are raised by log((V - 1)/K): the sum of their exponentials is then, on average, that of
    all V - 1 others.

    Args:
      positive: scores of the right items.
      negatives: scores of those drawn.
      hits: True where the right item was drawn, which then does not count.
      items: V.

    References:
      Jean et al., On Using Very Large Target Vocabulary for Neural Machine Translation, 2014,
      arXiv:1412.2007.

    Example:
      >>> loss = sampled_softmax_loss(jnp.zeros(()), jnp.zeros(2), jnp.zeros(2, bool), items=5)
      >>> print(jnp.exp(loss).round(4))  # As over all five.
      5.0
    """
    number = negatives.shape[-1]
    raised = jnp.where(hits, -jnp.inf, negatives + jnp.log(jnp.float32((items - 1) / number)))
    every = jnp.concatenate([positive[..., None], raised], axis=-1)
    return jax.nn.logsumexp(every, axis=-1) - positive


def binary_loss(
    positive: Float[Array, "*B"],
    negatives: Float[Array, "*B K"],
    hits: Bool[Array, "*B K"],
    *,
    items: int,
    calibration: float | Float[Array, ""] = 0.0,
) -> Float[Array, "*B"]:
    """Returns gBCE, -(β·log σ(s) + Σ_k log(1 - σ(s_k))) / (K + 1).

    With the share α = K/(V - 1) of items that are drawn, β = α·(t·(1 - 1/α) + 1/α) for the calibration t:
    plain binary cross-entropy (β = 1) at t = 0, which with few negatives brings σ of all good items near 1,
    and β = α at t = 1, where σ estimates the probability itself.

    Args:
      positive: scores s of the right items.
      negatives: scores s_k of K items, drawn evenly.
      hits: True where the right item was drawn, which then does not count.
      items: V.
      calibration: t in [0, 1].

    References:
      Petrov & Macdonald, gSASRec: Reducing Overconfidence in Sequential Recommendation Trained with Negative
      Sampling, 2023, arXiv:2308.07192.

    Example:
      >>> loss = binary_loss(jnp.zeros(()), jnp.zeros(1), jnp.zeros(1, bool), items=3)
      >>> print(loss.round(4))  # log 2
      0.6931
    """
    number = negatives.shape[-1]
    share = number / (items - 1)
    beta = share * (calibration * (1 - 1 / share) + 1 / share)
    against = jnp.where(hits, 0, jax.nn.softplus(negatives)).sum(-1)
    return (beta * jax.nn.softplus(-positive) + against) / (number + 1)
