"""The Set Transformer: attention over sets by way of a few learned vectors."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.base import require_width
from attnjax.nn.attention.mask_reading import read_mask
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.axes import named
from attnjax.nn.feed_forward import FeedForward
from attnjax.nn.norm import make_norm
from attnjax.nn.residual import Residual
from attnjax.ops.core.checks import count


class SetBlock(nnx.Module):
    """The block MAB(x, y) = norm(h + feed_forward(h)), h = norm(x + attention(x, y)).

    Args:
      dim: D.
      heads: N.
      common: dtypes and rngs.

    References:
      Lee et al., Set Transformer: A Framework for Attention-based Permutation-Invariant Neural Networks,
      2019, arXiv:1810.00825.
    """

    def __init__(self, dim: int, heads: int, **common: Any) -> None:
        self.attention = SoftmaxAttention(dim, heads, **common)
        self.feed_forward = FeedForward(dim, dim, **common)
        self.attention_residual, self.feed_forward_residual = (
            Residual(make_norm("layer", dim, **common), "post") for _ in range(2)
        )

    def __call__(
        self, x: Float[Array, "*B T D"], y: Float[Array, "*B S D"], mask: MaskLike | None = None
    ) -> Float[Array, "*B T D"]:
        """Returns x, which has read y."""
        h = self.attention_residual.leave(x, self.attention(x, y, mask=mask).out, None)
        return self.feed_forward_residual.leave(h, self.feed_forward(h), None)


class ISAB(nnx.Module):
    """Attention of a set to itself by way of M learned vectors i: MAB(x, MAB(i, x)), in time linear in T.

    Args:
      dim: D.
      heads: N.
      inducing: M.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1.

    References:
      Lee et al., Set Transformer, 2019, arXiv:1810.00825.

    Example:
      >>> layer = ISAB(8, 2, inducing=3, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 50, 8))).out.shape
      (2, 50, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        inducing: int = 16,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim = dim
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.inducing = _vectors(count("inducing", inducing), dim, param_dtype, rngs)
        self.gather, self.spread = SetBlock(dim, heads, **common), SetBlock(dim, heads, **common)

    def __call__(
        self, x: Float[Array, "*B T D"], *, mask: MaskLike | None = None, cache: None = None
    ) -> AttentionOutput:
        """Attends from every member of the set to all.

        Args:
          x: the set.
          mask: lengths(key=…) or ~lengths(key=…), for padding.
          cache: None; the vectors read all at once.

        Raises:
          ValueError: x is not D wide; the mask has other parts; a cache is given.
        """
        require_width("x", x, self.dim)
        reading = read_mask(mask, "isab")
        if cache is not None or reading.causal or reading.segment_ids is not None:
            given = "a cache" if cache is not None else f"mask {mask!r}"
            raise ValueError(f"{given}: isab reads all of a row at once, expected lengths(key=…) at most")
        read = self.gather(_spread(self.inducing, x), x, mask)
        return AttentionOutput(self.spread(x, read))


class PMA(nnx.Module):
    """Pooling by attention: MAB(seeds, feed_forward(x)), [*B, S, D] to [*B, L, D].

    Args:
      dim: D.
      heads: N.
      seeds: L, learned vectors.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1.

    References:
      Lee et al., Set Transformer, 2019, arXiv:1810.00825.

    Example:
      >>> layer = PMA(8, 2, seeds=2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((3, 50, 8))).out.shape
      (3, 2, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        seeds: int = 1,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim = dim
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.seeds = _vectors(count("seeds", seeds), dim, param_dtype, rngs)
        self.feed_forward = FeedForward(dim, dim, **common)
        self.block = SetBlock(dim, heads, **common)

    def __call__(self, x: Float[Array, "*B S D"], *, mask: MaskLike | None = None) -> AttentionOutput:
        """Returns the vectors that have read the set.

        Args:
          x: the set.
          mask: of what each of them sees of it, L×S; lengths(key=…) for padding.

        Raises:
          ValueError: x is not D wide.
        """
        require_width("x", x, self.dim)
        return AttentionOutput(self.block(_spread(self.seeds, x), self.feed_forward(x), mask))


def _vectors(number: int, dim: int, param_dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.Param[Array]:
    start = nnx.initializers.xavier_uniform()(rngs.params(), (number, dim), param_dtype)
    return nnx.Param(start, **named("slots", "embed"))


def _spread(vectors: nnx.Param[Array], x: Array) -> Array:
    """Returns learned vectors for every row of a batch."""
    return jnp.broadcast_to(vectors[...].astype(x.dtype), (*x.shape[:-2], *vectors.shape))
