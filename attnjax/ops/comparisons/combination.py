"""A linear map of a query, a key, and what arithmetic makes of both."""

import re
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.comparisons.base import Compared, Comparison, OfTokens, of_heads, one_size, per_query_head
from attnjax.ops.core.checks import floats
from attnjax.ops.core.node import static
from attnjax.ops.core.ranks import of_rank


def linear_combination(
    weight: Float[Array, "N C"] | Float[Array, " C"],
    bias: Float[Array, " N"] | Float[Array, ""] | None = None,
    *,
    combination: str = "x,y,x*y",
) -> Comparison:
    """Returns the comparison w·[terms of x and y] + b, where x is the query and y the key.

    Args:
      weight: w of each head, or one for all; C is H times the number of terms.
      bias: b of each head, or one for all.
      combination: terms joined by commas: x, y, or two of them joined by one of + - * /.

    Returns:
      The comparison.

    Raises:
      TypeError: weight or bias is not floating point.
      ValueError: a term is none of these; a shape does not fit (when attention is called).

    References:
      Seo et al., Bidirectional Attention Flow for Machine Comprehension, 2016 (arXiv:1611.01603).

    Example:
      >>> import attnjax as aj
      >>> x, y = jnp.array([[1.0], [2.0]]), jnp.array([[3.0], [5.0]])
      >>> weight = jnp.array([100.0, 10.0, 1.0])
      >>> print(aj.matrix_attention(x, y, comparison=linear_combination(weight)))
      [[133. 155.]
       [236. 260.]]
    """
    terms = tuple(term.replace(" ", "") for term in combination.split(","))
    for term in terms:
        if re.fullmatch(r"[xy]([-+*/][xy])?", term) is None:
            raise ValueError(
                f"combination {combination!r}: {term!r} is no term; expected x, y, or two by + - * or /"
            )
    return LinearCombination(floats("weight", weight), None if bias is None else floats("bias", bias), terms)


class LinearCombination(Comparison):
    """The comparison that `linear_combination` returns."""

    weight: Any
    bias: Any
    terms: tuple[str, ...] = static()

    def prepare(self, query: Array, key: Array, scale: Array, precision: Any) -> Compared:
        """Returns what engines compare."""
        one_size(query, key)
        heads, size = query.shape[-2:]
        weight = of_heads("weight", self.weight, {"C": size * len(self.terms)}, heads).astype(query.dtype)
        bias = jnp.zeros((), query.dtype) if self.bias is None else self.bias
        alone = {"x": jnp.zeros_like(query[..., 0]), "y": jnp.zeros_like(key[..., :1, 0])}
        alone["x"] += of_rank(of_heads("bias", bias, {}, heads).astype(query.dtype), query.ndim - 1)
        products = [(jnp.zeros_like(query[..., :1]), jnp.zeros_like(key[..., :1]))]
        for term, w in zip(self.terms, jnp.split(weight, len(self.terms), axis=-1), strict=True):
            for summand in _summands(term, query, key):
                if len(summand) == 2:
                    products.append((of_rank(w, query.ndim) * summand["x"], summand["y"]))
                    continue
                ((name, x),) = summand.items()
                part = jnp.einsum("...nh,nh->...n", per_query_head(x, heads), w, precision=precision)
                alone[name] = alone[name] + part
        left, right = zip(*(products[1:] or products), strict=True)
        of_tokens = OfTokens(query=scale * alone["x"], key=scale * alone["y"])
        return Compared(jnp.concatenate(left, -1), jnp.concatenate(right, -1), scale, of_tokens)


def _summands(term: str, query: Array, key: Array) -> list[dict[str, Array]]:
    """Returns a term as a sum, each part of which is of x, of y, or the product of both."""
    vectors = {"x": query, "y": key}
    if len(term) == 1:
        return [{term: vectors[term]}]
    first, sign, second = tuple(term)
    left, right = vectors[first], vectors[second]
    right = -right if sign == "-" else 1 / right if sign == "/" else right
    if sign in "+-":
        return [{first: left}, {second: right}]
    return [{first: left * right}] if first == second else [{first: left, second: right}]
