"""The Perceiver resampler: a few learned vectors that read a set of any size."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.base import require_width
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike, as_mask
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.axes import named
from attnjax.nn.feed_forward import FeedForward
from attnjax.nn.norm import make_norm
from attnjax.ops import masks
from attnjax.ops.core.checks import count


class Resampling(nnx.Module):
    """A layer of a resampler: l + attention(l̂, [x̂, l̂]), then + feed_forward, where l̂ and x̂ are normed."""

    def __init__(self, dim: int, heads: int, expansion: int, **common: Any) -> None:
        self.set_norm, self.norm, self.feed_forward_norm = (
            make_norm("layer", dim, **common) for _ in range(3)
        )
        self.attention = SoftmaxAttention(dim, heads, bias=False, **common)
        self.feed_forward = FeedForward(dim, expansion * dim, bias=False, **common)

    def __call__(self, latents: Array, x: Array, mask: MaskLike | None) -> Array:
        """Returns the vectors after the layer."""
        normed = self.norm(latents)
        source = jnp.concatenate([self.set_norm(x), normed], axis=-2)
        latents = latents + self.attention(normed, source, mask=mask).out
        return latents + self.feed_forward(self.feed_forward_norm(latents))


class PerceiverResampler(nnx.Module):
    """A few learned vectors that read a set, and themselves, layer after layer: [*B, S, D] to [*B, L, D].

    Args:
      dim: D.
      heads: N.
      latents: L.
      layers: of the resampler.
      expansion: the width of the feed-forward layers, in D.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1.

    References:
      Jaegle et al., Perceiver: General Perception with Iterative Attention, 2021, arXiv:2103.03206.
      Alayrac et al., Flamingo: a Visual Language Model for Few-Shot Learning, 2022, arXiv:2204.14198.

    Example:
      >>> layer = PerceiverResampler(8, 2, latents=3, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 50, 8))).out.shape
      (2, 3, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        latents: int = 64,
        layers: int = 2,
        expansion: int = 4,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim = dim
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        start = jax.random.normal(rngs.params(), (count("latents", latents), dim), param_dtype)
        self.latents = nnx.Param(start, **named("slots", "embed"))
        self.layers = nnx.List(
            [
                Resampling(dim, heads, count("expansion", expansion), **common)
                for _ in range(count("layers", layers))
            ]
        )
        self.norm = make_norm("layer", dim, **common)

    def __call__(self, x: Float[Array, "*B S D"], *, mask: MaskLike | None = None) -> AttentionOutput:
        """Returns the vectors that have read the set.

        Args:
          x: the set.
          mask: of what each of them sees of it, L×S; lengths(key=…) for padding.

        Raises:
          ValueError: x is not D wide.
        """
        require_width("x", x, self.dim)
        latents = jnp.broadcast_to(self.latents[...].astype(x.dtype), (*x.shape[:-2], *self.latents.shape))
        if mask is not None:
            count, size = latents.shape[-2], x.shape[-2]
            seen = as_mask(mask).materialize(count, size, batch=x.shape[:-2])
            mask = masks.dense(jnp.pad(seen, [(0, 0)] * (seen.ndim - 1) + [(0, count)], constant_values=True))
        for layer in self.layers:
            latents = layer(latents, x, mask)
        return AttentionOutput(self.norm(latents))
