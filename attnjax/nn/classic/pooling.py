"""Pooling by learned queries: of the tokens of a text, and of its sentences."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.base import require_width
from attnjax.nn.attention.sizes import require_sizes
from attnjax.nn.axes import named
from attnjax.nn.dot import flat_dot_general
from attnjax.ops.classic import attentive_pooling
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.graph import segment_softmax


class Pooling(NamedTuple):
    """The pooled vectors [*B, R, D] and the weights [*B, R, S] of what they are made of."""

    out: Float[Array, "*B R D"]
    weights: Float[Array, "*B R S"]


class TextPooling(NamedTuple):
    """A text pooled by its sentences.

    Attributes:
      out: the vectors of texts.
      weights: of each token in them, the product of the two below: that of its sentence, and its own there.
      of_sentences: the weights of sentences, of which there are as many as tokens; 0 where there is none.
      of_words: the weights of tokens among those of their sentence.
    """

    out: Float[Array, "B R D"]
    weights: Float[Array, "B R T"]
    of_sentences: Float[Array, "B R T"]
    of_words: Float[Array, "B T"]


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
        self.dim, self.words, self.sentences = dim, words, sentences
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

    def of_text(
        self, x: Float[Array, "B T D"], numbers: Int[Array, "B T"], *, mask: Bool[Array, "B T"] | None = None
    ) -> TextPooling:
        """Pools texts whose sentences stand one behind the other: the same without padding of sentences.

        Args:
          x: the words.
          numbers: in [0, T), of each word's sentence in its text.
          mask: the words that take part; None: all.

        Raises:
          ValueError: x has another width; there are modules for words or sentences, which read whole ones.
        """
        require_width("x", x, self.dim)
        if self.words is not None or self.sentences is not None:
            raise ValueError("words or sentences are given: they read padded sentences, expected None")
        count = x.shape[1]
        there = jnp.ones(numbers.shape, bool) if mask is None else mask
        x = jnp.where(there[..., None], x, 0)
        features = jnp.tanh(self.of_words.features(x))
        query = self.of_words.queries[...].astype(features.dtype)
        scores = jnp.einsum("bta,ra->btr", features, query, preferred_element_type=accumulation_dtype(query))

        def of_one(x: Array, scores: Array, numbers: Array, there: Array) -> tuple[Array, Array, Array]:
            weights = segment_softmax(scores, numbers, count, mask=there)[:, 0]
            sentences = jax.ops.segment_sum(weights[:, None] * x, numbers, count)
            filled = jax.ops.segment_max(there.astype(jnp.int32), numbers, count) > 0
            return sentences.astype(x.dtype), weights, filled

        sentences, of_words, filled = jax.vmap(of_one)(x, scores, numbers, there)
        out, of_sentences = self.of_sentences(sentences, mask=filled)
        of_own = jnp.take_along_axis(of_sentences, numbers[:, None], axis=-1)
        return TextPooling(out, of_own * of_words[:, None], of_sentences, of_words)
