"""Comparisons by themselves: similarities of all pairs of vectors, and the weights of one vector's keys."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.arguments import make_call
from attnjax.ops.attention import attention_weights
from attnjax.ops.comparisons import Comparison, dot
from attnjax.ops.core.checks import floats
from attnjax.ops.engines import reference
from attnjax.ops.normalizers import Normalizer


def matrix_attention(
    x: Float[Array, "*B T H"], y: Float[Array, "*B S R"], *, comparison: Comparison | None = None
) -> Float[Array, "*B T S"]:
    """Returns the similarity of each vector of x with each of y, as the comparison has it.

    Args:
      x: [*B, T, H], what `attention` calls queries.
      y: [*B, S, R], what it calls keys.
      comparison: with parameters for one head; None: `dot()`.

    Returns:
      The scores [*B, T, S], in float32 or better.

    Raises:
      TypeError: an argument is of another type.
      ValueError: shapes do not fit.

    References:
      Gardner et al., AllenNLP: A Deep Semantic Natural Language Processing Platform, 2018 (arXiv:1803.07640).

    Example:
      >>> from attnjax.ops import comparisons
      >>> x = jnp.array([[1.0, 0.0], [1.0, 1.0]])
      >>> print(matrix_attention(x, 5 * x, comparison=comparisons.cosine()).round(2))
      [[1.   0.71]
       [0.71 1.  ]]
    """
    x, y = _one_head("x", x, 2), _one_head("y", y, 2)
    return pair_similarities(x, y, dot() if comparison is None else comparison)[..., 0, :, :]


def pair_similarities(
    query: Float[Array, "*B T N H"], key: Float[Array, "*B S K R"], comparison: Comparison
) -> Float[Array, "*B N T S"]:
    """Returns the scores of all pairs and heads, in float32 or better."""
    call = make_call(query, key, comparison=comparison)
    return _scores(call).reshape(call.rules.sizes.pairs)


def vector_attention(
    query: Float[Array, "*B H"],
    keys: Float[Array, "*B S R"],
    *,
    comparison: Comparison | None = None,
    mask: Bool[Array, "*B S"] | None = None,
    normalizer: Normalizer | None = None,
) -> Float[Array, "*B S"]:
    """Returns the weights that one query gives to each of its keys.

    Args:
      query: [*B, H].
      keys: [*B, S, R].
      comparison: with parameters for one head; None: `dot()`.
      mask: the keys that take part; None: all.
      normalizer: None: `softmax()`.

    Returns:
      The weights [*B, S], in float32 or better; 0 where masked.

    Raises:
      TypeError: an argument is of another type.
      ValueError: shapes do not fit.

    References:
      Gardner et al., AllenNLP: A Deep Semantic Natural Language Processing Platform, 2018 (arXiv:1803.07640).

    Example:
      >>> print(vector_attention(jnp.array([1.0]), jnp.log(jnp.array([[1.0], [3.0]]))).round(2))
      [0.25 0.75]
    """
    query, keys = _one_head("query", query, 1)[..., None, :, :], _one_head("keys", keys, 2)
    seen: Any = None if mask is None else jnp.asarray(mask)[..., None, None, :]
    own = dot() if comparison is None else comparison
    return attention_weights(query, keys, comparison=own, mask=seen, normalizer=normalizer)[..., 0, 0, :]


def _one_head(name: str, x: Any, axes: int) -> Array:
    """Returns vectors with an axis for their one head before the last."""
    x = floats(name, x)
    if x.ndim < axes:
        raise ValueError(
            f"{name} has shape {list(x.shape)}: expected at least {axes} axes, the last the size"
        )
    return x[..., None, :]


_scores = jax.jit(reference.scores)
