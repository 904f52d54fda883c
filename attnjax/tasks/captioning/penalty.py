"""The penalty of captioning on what a caption looks at too much, or never."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def doubly_stochastic(looks: Float[Array, "B T P"], counted: Float[Array, "B T"]) -> Float[Array, ""]:
    """Returns the mean over tokens of their image's mean_i (1 - Σ_t α_ti)², where t counts.

    It is 0 where each patch is looked at as much as any other over the whole caption, once in sum.

    References:
      Xu et al., Show, Attend and Tell, 2015, arXiv:1502.03044 (section 4.2.1).

    Example:
      >>> looks = jnp.array([[[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]])
      >>> float(doubly_stochastic(looks, jnp.array([[True, True, False]])))
      0.0
    """
    counts = counted.astype(looks.dtype)
    total = (looks * counts[..., None]).sum(axis=1)
    of_image = jnp.mean((1 - total) ** 2, axis=-1)
    tokens = counts.sum(axis=1)
    return (of_image * tokens).sum() / tokens.sum()
