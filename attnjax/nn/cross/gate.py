"""A gate of what a layer reads of a context, for the blocks of a decoder."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.axes import named


class CrossGate(nnx.Module):
    """A layer's output times tanh(a), with an a that starts at 0: at first nothing of the context is read.

    `GatedCrossAttention` is a block of its own; this one stands in a block that adds what it gives.

    Args:
      attention: a layer that reads a context, such as `SoftmaxAttention`.
      param_dtype: of a.

    References:
      Alayrac et al., Flamingo: a Visual Language Model for Few-Shot Learning, 2022, arXiv:2204.14198.

    Example:
      >>> from attnjax.nn import SoftmaxAttention
      >>> layer = CrossGate(SoftmaxAttention(8, 2, rngs=nnx.Rngs(0)))
      >>> bool((layer(jnp.ones((1, 5, 8)), layer.project(jnp.ones((1, 3, 8)))).out == 0).all())
      True
    """

    has_weights = True

    def __init__(self, attention: Any, *, param_dtype: DTypeLike = jnp.float32) -> None:
        self.attention = attention
        self.gate = nnx.Param(jnp.zeros((), param_dtype), **named())

    def project(self, context: Float[Array, "*B S C"]) -> KeysValues:
        """Returns the layer's keys and values of a context."""
        projected: KeysValues = self.attention.project(context)
        return projected

    def __call__(
        self, x: Float[Array, "*B T D"], context: Float[Array, "*B S C"] | KeysValues, **options: Any
    ) -> AttentionOutput:
        """Returns the gated output; the options are those of the layer, and so are cache and weights."""
        read: AttentionOutput = self.attention(x, context, **options)
        return read._replace(out=jnp.tanh(self.gate[...]).astype(read.out.dtype) * read.out)
