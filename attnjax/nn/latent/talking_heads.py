"""The two matrices of talking-heads attention, as a recipe makes them."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from attnjax.nn.axes import named
from attnjax.ops import normalizers


class LearnedTalkingHeads(nnx.Module):
    """The softmax whose heads mix before it and after it, by matrices [N, N] that start as the identity.

    Args:
      heads: N.
      param_dtype: of the matrices.
      rngs: not used.

    References:
      Shazeer et al., Talking-Heads Attention, 2020, arXiv:2003.02436.
    """

    def __init__(self, *, heads: int, param_dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs) -> None:
        self.before = nnx.Param(jnp.eye(heads, dtype=param_dtype), **named("heads", "heads"))
        self.after = nnx.Param(jnp.eye(heads, dtype=param_dtype), **named("heads", "heads"))

    def __call__(self) -> normalizers.Normalizer:
        """Returns the normaliser."""
        return normalizers.talking_heads(self.before[...], self.after[...])
