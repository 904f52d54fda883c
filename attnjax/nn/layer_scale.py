"""A learned factor for each channel of what a layer adds."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.axes import named


class LayerScale(nnx.Module):
    """The product λ ⊙ x with a learned λ; where that is small at first, deep stacks begin near the identity.

    Args:
      dim: D.
      start: the first value of every λ.
      param_dtype: of λ.

    References:
      Touvron et al., Going Deeper with Image Transformers, 2021, arXiv:2103.17239.

    Example:
      >>> LayerScale(2, 0.5)(jnp.array([2.0, 4.0])).tolist()
      [1.0, 2.0]
    """

    def __init__(self, dim: int, start: float, *, param_dtype: DTypeLike = jnp.float32) -> None:
        self.scale = nnx.Param(jnp.full((dim,), start, param_dtype), **named("embed"))

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """Returns each channel times its factor, in x's dtype."""
        return x * self.scale[...].astype(x.dtype)
