"""Axial attention: along the columns of an image, then along its rows."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.spatial.pixels import pixels
from attnjax.ops import masks


class AxialAttention(nnx.Module):
    """Attention along the columns, then along the rows, so that every pixel reads all by way of one other.

    Args:
      dim: D.
      heads: N.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: As in `SoftmaxAttention`.

    References:
      Ho et al., Axial Attention in Multidimensional Transformers, 2019, arXiv:1912.12180.

    Example:
      >>> layer = AxialAttention(8, 2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 4, 5, 8))).out.shape
      (2, 4, 5, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim = dim
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.columns, self.rows = (SoftmaxAttention(dim, heads, **common) for _ in range(2))

    def __call__(
        self, x: Float[Array, "*B Y X D"], *, mask: Bool[Array, "*B Y X"] | None = None
    ) -> AttentionOutput:
        """Attends along both axes; the mask is False for padding.

        Raises:
          ValueError: Shapes do not fit.
        """
        x, real = pixels(x, self.dim, mask)
        turned = None if real is None else jnp.swapaxes(real, -1, -2)
        x = jnp.swapaxes(_along(self.columns, jnp.swapaxes(x, -2, -3), turned), -2, -3)
        return AttentionOutput(_along(self.rows, x, real))


def _along(attention: SoftmaxAttention, x: Array, real: Array | None) -> Array:
    """Returns the image [*B, Y, X, D] after attention along its second axis."""
    mask = None if real is None else masks.dense(real[..., None, None, :])
    return attention(x, mask=mask).out
