"""Pooling by learned queries: of the tokens of a text, and of its sentences."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.base import require_width
from attnjax.nn.attention.sizes import require_sizes
from attnjax.nn.axes import named
from attnjax.nn.dot import flat_dot_general
from attnjax.ops.classic import attentive_pooling


class Pooling(NamedTuple):
    """The pooled vectors [*B, R, D] and the weights [*B, R, S] of what they are made of."""

    out: Float[Array, "*B R D"]
    weights: Float[Array, "*B R S"]


class AttentivePooling(nnx.Module):
    """Self-attentive pooling: A = softmax(W₂ tanh(W₁ xᵀ + b)), A x, with a row of A for each hop.

    `attnjax.ops.classic.redundancy` of the weights is the penalty on hops that read the same.

    Args:
      dim, heads: D, and R, the number of hops.
      hidden: A, the width of the features; None: D.
      bias: whether there is a b: Yang has one, Lin none.
      dtype: of the features; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws them.

    Raises:
      ValueError: sizes are below 1.

    References:
      Lin et al., A Structured Self-attentive Sentence Embedding, 2017, arXiv:1703.03130.
      Yang et al., Hierarchical Attention Networks for Document Classification, 2016.

    Example:
      >>> AttentivePooling(8, 3, rngs=nnx.Rngs(0))(jnp.ones((2, 5, 8))).out.shape
      (2, 3, 8)
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        hidden: int | None = None,
        bias: bool = False,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        require_sizes(dim, heads, kv_heads=None, head_dim=1, hidden=hidden)
        self.dim = dim
        hidden = dim if hidden is None else hidden
        self.features = nnx.Linear(
            dim,
            hidden,
            use_bias=bias,
            kernel_metadata=named("embed", "width"),
            bias_metadata=named("width"),
            dot_general=flat_dot_general,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        start = hidden**-0.5 * rngs.params.normal((heads, hidden), param_dtype)
        self.queries = nnx.Param(start, **named("heads", "width"))

    def __call__(self, x: Float[Array, "*B S D"], *, mask: Bool[Array, "*B S"] | None = None) -> Pooling:
        """Pools the vectors that the mask leaves; 0 where it leaves none.

        Raises:
          ValueError: x has another width.
        """
        require_width("x", x, self.dim)
        return Pooling(*attentive_pooling(x, jnp.tanh(self.features(x)), self.queries[...], mask=mask))


class HierarchicalPooling(nnx.Module):
    """Hierarchical attention: words are pooled to sentences, and sentences to a text.

    Args:
      dim, heads: D, and R, the vectors that a text is pooled to; the paper has one.
      hidden: as in `AttentivePooling`.
      words: a module between words and their pooling, which is given them and their mask; None: none.
      sentences: the same for sentences.
      dtype, param_dtype, rngs: as in `AttentivePooling`.

    Raises:
      ValueError: sizes are below 1.

    References:
      Yang et al., Hierarchical Attention Networks for Document Classification, 2016.

    Example:
      >>> pool = HierarchicalPooling(8, 1, rngs=nnx.Rngs(0))
      >>> pool(jnp.ones((2, 3, 5, 8))).out.shape
      (2, 1, 8)
    """

    def __init__(
        self,
        dim: int,
        heads: int = 1,
        *,
        hidden: int | None = None,
        words: Any = None,
        sentences: Any = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.words, self.sentences = words, sentences
        self.of_words = AttentivePooling(dim, 1, hidden=hidden, bias=True, **options)
        self.of_sentences = AttentivePooling(dim, heads, hidden=hidden, bias=True, **options)

    def __call__(self, x: Float[Array, "*B M S D"], *, mask: Bool[Array, "*B M S"] | None = None) -> Pooling:
        """Pools the words that the mask leaves; a sentence without any takes no part.

        Returns:
          The vectors of the text, and the weights of its sentences.

        Raises:
          ValueError: x has another width.
        """
        x = x if self.words is None else self.words(x, mask)
        sentences, there = self.of_words(x, mask=mask).out[..., 0, :], None
        if mask is not None:
            there = jnp.asarray(mask).any(-1)
        if self.sentences is not None:
            sentences = self.sentences(sentences, there)
        return self.of_sentences(sentences, mask=there)
