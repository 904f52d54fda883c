"""Attention to a context that only moves on."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Key

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.axes import named
from attnjax.nn.classic.reading import ReadingLayer, of_keys, vector
from attnjax.ops.classic import monotonic_attention
from attnjax.ops.comparisons import additive
from attnjax.ops.core.dtypes import accumulation_dtype


class MonotonicAttention(ReadingLayer):
    """Attention whose queries move on over a context, in expectation while it learns, then in steps.

    Scores are g·v·tanh(q + k)/|v| + r. g starts at 1/√H and r at -1 in each head.

    Args:
      dim, heads: D and N.
      context_dim, head_dim, bias, dtype, param_dtype, rngs: as in `ReadingLayer`.

    Raises:
      ValueError: sizes are below 1 or do not divide.

    References:
      Raffel et al., Online and Linear-Time Attention by Enforcing Monotonic Alignments, 2017,
      arXiv:1704.00784.

    Example:
      >>> layer = MonotonicAttention(8, 2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 3, 8)), jnp.ones((1, 5, 8)), hard=True).out.shape
      (1, 3, 8)
    """

    START = -1.0

    def _make_own(self, dtype: DTypeLike | None, param_dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.v = vector(rngs, self.heads, self.head_dim, param_dtype)
        self.gain = nnx.Param(jnp.full((self.heads,), self.head_dim**-0.5, param_dtype), **named("heads"))
        self.offset = nnx.Param(jnp.full((self.heads,), self.START, param_dtype), **named("heads"))

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S C"] | KeysValues,
        *,
        mask: Bool[Array, "*B S"] | None = None,
        hard: bool = False,
        before: Float[Array, "*B N S"] | None = None,
        noise: Key[Array, ""] | None = None,
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """Reads the context in its order.

        Args:
          x: the tokens that ask, in their order.
          context: the tokens that are read, or their keys and values from `project`.
          mask: those of them that are there; None: all.
          hard: moves in steps, as at inference.
          before: the weights of the token before these; None: there is none.
          noise: a key of jax.random, in training; it draws noise N(0, 1) that is added to the scores.
          capture: the heads and rows of the weights to return.

        Raises:
          ValueError: x or context has another width; a capture is out of range.
        """
        query, key, value = self._projected(x, context)
        v, gain = self.v[...], self.gain[...]
        length = jnp.sqrt(jnp.sum(v * v, axis=-1, keepdims=True))
        drawn = None
        if noise is not None:
            pairs = (*x.shape[:-2], self.heads, x.shape[-2], key.shape[-3])
            drawn = jax.random.normal(noise, pairs, accumulation_dtype(query))
        out, weights = monotonic_attention(
            query,
            key,
            value,
            comparison=additive(gain[:, None] * v / length),
            offset=self.offset[...],
            mask=of_keys(mask),
            noise=drawn,
            hard=hard,
            before=before,
        )
        return self._read(out, weights, capture)
