"""Vectors of spans of tokens, by attention inside of each."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.base import require_width
from attnjax.nn.axes import named


class SelfAttentiveSpanExtractor(nnx.Module):
    """AllenNLP's extractor: a span is Σ_j a_j x_j over its tokens, a = softmax of w·x_j + b over the same.

    Args:
      dim: D, of tokens.
      widths: the number of span widths that have an embedding, which is appended; None: there is none.
      width_dim: W, its size.
      options: dtype, param_dtype and rngs.

    Raises:
      ValueError: widths are given without their size.

    References:
      Lee et al., End-to-end Neural Coreference Resolution, 2017, arXiv:1707.07045.
      Gardner et al., AllenNLP, 2018, arXiv:1803.07640.

    Example:
      >>> extractor = SelfAttentiveSpanExtractor(8, rngs=nnx.Rngs(0))
      >>> extractor(jnp.ones((2, 5, 8)), jnp.array([[[0, 2], [4, 4]]] * 2)).shape
      (2, 2, 8)
    """

    def __init__(
        self, dim: int, *, widths: int | None = None, width_dim: int | None = None, **options: Any
    ) -> None:
        if (widths is None) != (width_dim is None):
            raise ValueError(f"widths {widths}, width_dim {width_dim}: expected both, or neither")
        self.dim, self.widths = dim, 0 if widths is None else widths
        names: dict[str, Any] = {"kernel_metadata": named("embed", "width"), "bias_metadata": named("width")}
        self.scores = nnx.Linear(dim, 1, **names, **options)
        table: Any = None
        if widths is not None and width_dim is not None:
            table = nnx.Embed(widths, width_dim, embedding_metadata=named("type", "width"), **options)
        self.of_widths = table

    def __call__(
        self,
        x: Float[Array, "*B S D"],
        spans: Int[Array, "*B M 2"],
        *,
        mask: Bool[Array, "*B M"] | None = None,
    ) -> Float[Array, "*B M E"]:
        """Returns a vector of D entries for each span, and W more where widths have embeddings.

        Args:
          x: the tokens.
          spans: the first and the last token of each, which belong to it.
          mask: the spans that count; others give 0. None: all.

        Raises:
          ValueError: x has another width, or spans another shape.
        """
        require_width("x", x, self.dim)
        if spans.shape[-1:] != (2,) or spans.ndim != x.ndim:
            raise ValueError(f"spans {list(spans.shape)}: expected (*B, M, 2), the first and the last token")
        first, last = spans[..., 0, None], spans[..., 1, None]
        places = jnp.arange(x.shape[-2])
        scores = self.scores(x)[..., 0][..., None, :]
        weights = jax.nn.softmax(scores, where=(first <= places) & (places <= last))
        out = jnp.einsum("...ms,...sd->...md", weights, x)
        if self.of_widths is not None:
            width = jnp.minimum(last - first, self.widths - 1)[..., 0]
            out = jnp.concatenate([out, self.of_widths(width)], axis=-1)
        return out if mask is None else jnp.where(mask[..., None], out, 0)
