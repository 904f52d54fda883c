"""Attention-augmented convolution: some channels by a convolution, the others by attention."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.axes import named
from attnjax.nn.projection import into_heads
from attnjax.nn.spatial.pixels import pixels
from attnjax.ops import scores
from attnjax.ops.attention import attention
from attnjax.ops.convolution import convolution
from attnjax.ops.core.checks import count


class AugmentedConvolution(nnx.Module):
    """A convolution whose last channels are those of attention: [K * x, O attention(x)].

    Scores are (q_i·k_j + q_i·r^X[x_j - x_i] + q_i·r^Y[y_j - y_i])/√H, r learned vectors of relative places.

    Args:
      dim: D, in and out.
      heads: N.
      key_dim: channels of queries and of keys, of all heads.
      value_dim: channels that attention gives, of all heads.
      kernel: pixels along each side of K.
      most: pixels that an image has along each side at most.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1, the heads do not divide the channels of keys or values, or the values
        leave none for the convolution.

    References:
      Bello et al., Attention Augmented Convolutional Networks, 2019, arXiv:1904.09925.

    Example:
      >>> layer = AugmentedConvolution(8, 2, key_dim=4, value_dim=4, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 4, 5, 8))).out.shape
      (2, 4, 5, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        key_dim: int | None = None,
        value_dim: int | None = None,
        kernel: int = 3,
        most: int = 32,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        key_dim = max(dim // 2, 1) if key_dim is None else count("key_dim", key_dim)
        value_dim = max(dim // 2, 1) if value_dim is None else count("value_dim", value_dim)
        for name, size in (("dim", dim), ("heads", heads), ("kernel", kernel), ("most", most)):
            count(name, size)
        if key_dim % heads or value_dim % heads or value_dim >= dim:
            raise ValueError(
                f"key_dim {key_dim}, value_dim {value_dim}: expected multiples of heads ({heads}), and of "
                f"values fewer than dim ({dim})"
            )
        self.dim, self.heads, self.most = dim, heads, most
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.convolution = nnx.Conv(
            dim,
            dim - value_dim,
            (kernel, kernel),
            conv_general_dilated=convolution,
            kernel_metadata=named("width", "width", "embed", "mlp"),
            bias_metadata=named("mlp"),
            **common,
        )
        keys, values = (
            {"heads": heads, "head_dim": key_dim // heads},
            {"heads": heads, "head_dim": value_dim // heads},
        )
        self.query, self.key, self.value = (into_heads(dim, axes, **common) for axes in (keys, keys, values))
        self.out = into_heads(value_dim, {"mlp": value_dim}, source="mlp", **common)

        def places() -> nnx.Param[Array]:
            shape = (2 * most - 1, key_dim // heads)
            start = (key_dim // heads) ** -0.5 * jax.random.normal(rngs.params(), shape, param_dtype)
            return nnx.Param(start, **named("bucket", "head_dim"))

        self.along_x, self.along_y = places(), places()

    def __call__(
        self, x: Float[Array, "*B Y X D"], *, mask: Bool[Array, "*B Y X"] | None = None
    ) -> AttentionOutput:
        """Convolves an image and attends in it; the mask is False for padding.

        Raises:
          ValueError: Shapes do not fit, or a side is longer than `most`.
        """
        seen = pixels(x, self.dim, mask)
        height, width = x.shape[-3:-1]
        if max(height, width) > self.most:
            raise ValueError(f"x {list(x.shape)}: expected {self.most} pixels along each side at most")
        query, key, value = self.query(seen.tokens), self.key(seen.tokens), self.value(seen.tokens)
        row, column = jnp.divmod(jnp.arange(height * width), width)
        bias = self._of_places(query, self.along_x, column) + self._of_places(query, self.along_y, row)
        bias = bias * query.shape[-1] ** -0.5
        read = attention(query, key, value, mask=seen.keys, score=scores.pair_bias(bias))
        read = self.out(read.reshape(*read.shape[:-2], read.shape[-2] * read.shape[-1]))
        read = read.reshape(*x.shape[:-1], read.shape[-1])
        return AttentionOutput(jnp.concatenate([self.convolution(seen.x), read], axis=-1))

    def _of_places(
        self, query: Float[Array, "*B T N H"], table: nnx.Param[Array], place: Array
    ) -> Float[Array, "*B N T T"]:
        """Returns the products of queries and vectors of the places of keys relative to theirs."""
        products = jnp.einsum("...tnh,rh->...ntr", query, table[...].astype(query.dtype))
        apart = place[None, :] - place[:, None] + self.most - 1
        index = jnp.broadcast_to(apart, (*products.shape[:-1], len(place)))
        return jnp.take_along_axis(products, index, axis=-1)
