"""Attention to a part of a context around a position that each token predicts."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.config import require
from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.mask_reading import MaskReading, read_mask
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.classic.reading import ReadingLayer, of_keys, vector
from attnjax.nn.dropout import Dropout
from attnjax.nn.projection import into_heads
from attnjax.ops.attention import attention_weights
from attnjax.ops.classic import around, local_attention
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.masks import Mask


class LocalAttention(ReadingLayer):
    """Luong's local-p attention: a window and a Gaussian around p = S·σ(v·tanh(W x)), for each head.

    Args:
      dim, heads: D and N.
      size: tokens of the window on either side of p.
      context_dim, head_dim, bias, dtype, param_dtype, rngs: as in `ReadingLayer`.

    Raises:
      ValueError: sizes are below 1 or do not divide.

    References:
      Luong et al., Effective Approaches to Attention-based Neural Machine Translation, 2015,
      arXiv:1508.04025.

    Example:
      >>> layer = LocalAttention(8, 2, size=2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 3, 8)), jnp.ones((1, 5, 8))).out.shape
      (1, 3, 8)
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        size: int = 10,
        context_dim: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        require(size >= 1, f"size is {size}: expected 1 or more tokens on either side")
        self.size = size
        super().__init__(
            dim,
            heads,
            context_dim=context_dim,
            head_dim=head_dim,
            bias=bias,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )

    def _make_own(self, dtype: DTypeLike | None, param_dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        axes = {"heads": self.heads, "head_dim": self.head_dim}
        options: dict[str, Any] = {"bias": False, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.hidden = into_heads(self.dim, axes, **options)
        self.v = vector(rngs, self.heads, self.head_dim, param_dtype)

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S C"] | KeysValues,
        *,
        mask: MaskLike | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """Reads the context around the position of each token.

        Args:
          x: the tokens that ask.
          context: the tokens that are read, or their keys and values from `project`.
          mask: those of them that are there, the first ones: lengths(key=…), or an array [*B, S]; None: all.
          dropout: on the weights.
          capture: the heads and rows of the weights to return.

        Raises:
          ValueError: x or context has another width; the mask has other parts.
        """
        query, keys, values = self._projected(x, context)
        length, seen = self._there(mask, keys.shape[-3])
        hidden = jnp.tanh(self.hidden(x)).astype(accumulation_dtype(x))
        place = jax.nn.sigmoid(jnp.einsum("...nh,nh->...n", hidden, self.v[...].astype(hidden.dtype)))
        position, keys = length * place, keys.astype(query.dtype)
        options: dict[str, Any] = {"mask": seen}
        dropped: dict[str, Any] = (
            {} if dropout is None else {"dropout_rate": dropout.rate, "dropout_key": dropout.key}
        )
        values = values.astype(query.dtype)
        heads = local_attention(query, keys, values, position, size=self.size, **options, **dropped)
        weights = None
        if capture is not None:
            near = attention_weights(
                query, keys, score=around(position, self.size, gaussian=False), **options
            )
            distance = jnp.arange(near.shape[-1]) - jnp.moveaxis(position, -1, -2)[..., None]
            weights = near * jnp.exp(-2 * (distance / self.size) ** 2).astype(near.dtype)
        return self._read(heads, weights, capture)

    def _there(self, mask: Any, keys: int) -> tuple[Any, Any]:
        """Returns the length of each row of the context, and the mask of its tokens."""
        if isinstance(mask, Mask):
            reading = read_mask(mask, "local_p")
            if reading != MaskReading(lengths=reading.lengths):
                raise ValueError(f"mask {mask!r}: local_p takes lengths(key=…) of the context alone")
            return jnp.asarray(reading.lengths)[..., None, None], mask
        if mask is None:
            return keys, None
        return jnp.sum(mask, axis=-1)[..., None, None], of_keys(mask)
