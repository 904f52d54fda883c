"""Neighborhood attention: every pixel reads those nearest to it."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.dropout import Dropout
from attnjax.nn.spatial.pixels import pixels
from attnjax.ops import masks
from attnjax.ops.core.checks import count


class NeighborhoodAttention(nnx.Module):
    """Attention of every pixel to the window × window nearest; at the edges the window moves inward.

    It is softmax attention under the mask `neighborhood`, without the bias of relative places.

    Args:
      dim: D.
      heads: N.
      window: pixels along each side; an axis that is shorter is read whole.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: As in `SoftmaxAttention`; a window below 1.

    References:
      Hassani et al., Neighborhood Attention Transformer, 2023, arXiv:2204.07143.

    Example:
      >>> layer = NeighborhoodAttention(8, 2, window=3, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 4, 5, 8))).out.shape
      (2, 4, 5, 8)
    """

    has_weights = True

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        window: int = 7,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.window = dim, count("window", window)
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.attention = SoftmaxAttention(dim, heads, **common)

    def __call__(
        self,
        x: Float[Array, "*B Y X D"],
        *,
        mask: Bool[Array, "*B Y X"] | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """Attends from every pixel to its neighbours.

        Args:
          x: the image.
          mask: False for padding.
          dropout: on the weights.
          capture: the heads and rows of the weights [*B, N, Y·X, Y·X] to return.

        Raises:
          ValueError: Shapes do not fit.
        """
        seen = pixels(x, self.dim, mask)
        shape = x.shape[-3:-1]
        near = masks.neighborhood(shape, [min(self.window, size) for size in shape])
        if seen.keys is not None:
            near = near & seen.keys
        out, _, weights = self.attention(seen.tokens, mask=near, dropout=dropout, capture=capture)
        return AttentionOutput(out.reshape(x.shape), None, weights)
