"""Bilinear attention: one softmax over all pairs of two sets, and one vector for both."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.base import require_width
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike, as_mask
from attnjax.nn.axes import named
from attnjax.nn.projection import into_heads
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype


class BilinearAttention(nnx.Module):
    """Bilinear attention of two sets, of whose pairs each head has one softmax: [*B, 1, D].

    A_ts = softmax over all pairs (t, s) of p·(ReLU(x_t U) ⊙ ReLU(y_s V)), f = Σ_ts A_ts (x_t U') ⊙ (y_s V'),
    and the output is O [f of every head].

    Args:
      dim: D.
      heads: N.
      context_dim: C, of y; None: D.
      rank: the length of p and of f; None: D.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1.

    References:
      Kim et al., Bilinear Attention Networks, 2018, arXiv:1805.07932.

    Example:
      >>> layer = BilinearAttention(8, 2, context_dim=6, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((3, 5, 8)), jnp.ones((3, 4, 6))).out.shape
      (3, 1, 8)
    """

    has_weights = True

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        context_dim: int | None = None,
        rank: int | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.context_dim = count("dim", dim), dim if context_dim is None else context_dim
        axes = {"heads": count("heads", heads), "rank": dim if rank is None else count("rank", rank)}
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.query, self.of_x = (into_heads(dim, axes, **common) for _ in range(2))
        self.key, self.of_context = (into_heads(self.context_dim, axes, **common) for _ in range(2))
        start = nnx.initializers.xavier_uniform()(rngs.params(), tuple(axes.values()), param_dtype)
        self.vector = nnx.Param(start, **named(*axes))
        self.out = nnx.LinearGeneral(
            tuple(axes.values()),
            dim,
            axis=(-2, -1),
            kernel_metadata=named(*axes, "embed"),
            bias_metadata=named("embed"),
            **common,
        )

    def __call__(
        self, x: Float[Array, "*B T D"], context: Float[Array, "*B S C"], *, mask: MaskLike | None = None
    ) -> AttentionOutput:
        """Returns the vector of both sets, and the weights [*B, N, T, S] of their pairs.

        Args:
          x: one set.
          context: the other.
          mask: of the pairs, T×S; lengths(query=…, key=…) for padding.

        Raises:
          ValueError: x is not D wide, or the context not C.
        """
        require_width("x", x, self.dim)
        require_width("context", context, self.context_dim)
        seen = None
        if mask is not None:
            seen = as_mask(mask).materialize(x.shape[-2], context.shape[-2], batch=x.shape[:-2])[
                ..., :1, :, :
            ]
            x = jnp.where(seen.any((-3, -1))[..., None], x, 0)
            context = jnp.where(seen.any((-3, -2))[..., None], context, 0)
        query, key = jax.nn.relu(self.query(x)), jax.nn.relu(self.key(context))
        wide = accumulation_dtype(query)
        vector = self.vector[...].astype(query.dtype)
        scores = jnp.einsum("...tnr,...snr->...nts", query * vector, key, preferred_element_type=wide)
        weights = _over_pairs(scores, seen)
        read = jnp.einsum("...nts,...snr->...tnr", weights.astype(query.dtype), self.of_context(context))
        both = (self.of_x(x) * read).sum(-3)
        return AttentionOutput(self.out(both)[..., None, :], None, weights)


def _over_pairs(scores: Float[Array, "*B N T S"], seen: Array | None) -> Float[Array, "*B N T S"]:
    """Returns one softmax over the last two axes; 0 everywhere where no pair is seen."""
    if seen is not None:
        scores = jnp.where(seen, scores, -jnp.inf)
    most = jax.lax.stop_gradient(scores.max((-2, -1), keepdims=True, initial=-jnp.inf))
    powers = jnp.exp(scores - jnp.where(jnp.isneginf(most), 0, most))
    total = powers.sum((-2, -1), keepdims=True)
    return powers / jnp.where(total == 0, 1, total)
