"""The gate between generating a word and copying one."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from attnjax.nn.axes import named


class PointerGate(nnx.Module):
    """The logit w·[features] + b of generating a word, for `attnjax.ops.classic.pointer_distribution`.

    Args:
      dims: the widths of the features: in the paper those of the context vector, the decoder's state and its
        input.
      options: dtype, param_dtype and rngs.

    Raises:
      ValueError: there are no features.

    References:
      See et al., Get To The Point: Summarization with Pointer-Generator Networks, 2017, arXiv:1704.04368.

    Example:
      >>> gate = PointerGate(8, 4, rngs=nnx.Rngs(0))
      >>> gate(jnp.ones((2, 3, 8)), jnp.ones((2, 3, 4))).shape
      (2, 3)
    """

    def __init__(self, *dims: int, **options: Any) -> None:
        if not dims or min(dims) < 1:
            raise ValueError(f"dims {dims}: expected the width of each feature, 1 or more")
        self.dims = dims
        self.linear = nnx.Linear(
            sum(dims), 1, kernel_metadata=named("embed", "width"), bias_metadata=named("width"), **options
        )

    def __call__(self, *features: Float[Array, "*B T _"]) -> Float[Array, "*B T"]:
        """Returns the logits. Raises ValueError where the features have other widths."""
        widths = tuple(x.shape[-1] for x in features)
        if widths != self.dims:
            raise ValueError(f"features are {widths} wide: expected {self.dims}")
        return self.linear(jnp.concatenate(features, axis=-1))[..., 0]
