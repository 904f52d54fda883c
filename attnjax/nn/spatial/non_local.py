"""The non-local block: attention of every pixel to all, added to the image."""

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


class NonLocal(nnx.Module):
    """A non-local block: x_i + O Σ_j softmax_j(θ(x_i)·φ(x_j)) g(x_j), embedded Gaussians of half the width.

    O starts at 0, so that the block begins as the identity. Scores are not scaled.

    Args:
      dim: D.
      heads: N; 1 in the paper. Heads are D/(2N) wide.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: 2N does not divide D.

    References:
      Wang et al., Non-local Neural Networks, 2018, arXiv:1711.07971.

    Example:
      >>> layer, x = NonLocal(8, 1, rngs=nnx.Rngs(0)), jnp.ones((2, 4, 5, 8))
      >>> bool((layer(x).out == x).all())
      True
    """

    has_weights = True

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if dim < 1 or heads < 1 or dim % (2 * heads):
            raise ValueError(f"heads {heads}: expected a divisor of dim / 2, dim is {dim}")
        self.dim = dim
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.attention = SoftmaxAttention(dim, heads, head_dim=dim // (2 * heads), scale=1.0, **common)
        self.attention.out.kernel[...] = jnp.zeros_like(self.attention.out.kernel[...])

    def __call__(
        self,
        x: Float[Array, "*B Y X D"],
        *,
        mask: Bool[Array, "*B Y X"] | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """Attends from every pixel to all.

        Args:
          x: the image.
          mask: False for padding.
          dropout: on the weights.
          capture: the heads and rows of the weights [*B, N, Y·X, Y·X] to return.

        Raises:
          ValueError: Shapes do not fit.
        """
        seen = pixels(x, self.dim, mask)
        out, _, weights = self.attention(seen.tokens, mask=seen.keys, dropout=dropout, capture=capture)
        return AttentionOutput(seen.x + out.reshape(x.shape), None, weights)
