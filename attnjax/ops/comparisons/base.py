"""The algebra of comparisons: what a query and a key are to each other, before scores and mask."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.core.checks import floats
from attnjax.ops.core.node import PytreeNode
from attnjax.ops.core.pairs import Block, Sizes, pair_grid
from attnjax.ops.scores.base import Score

Compare = Callable[[Array, Array], Array]


@dataclasses.dataclass(frozen=True)
class PairFunction:
    """A function of two vectors, for all pairs: (query [..., t, P], key [..., s, R]) -> [..., t, s].

    Attributes:
      plain: the definition.
      lean: the same without an array [..., t, s, R]; its tangents too hold none.
      pull: (query, key, cotangents [..., t, s]) -> those of query and key, without such an array either.
    """

    plain: Compare
    lean: Compare
    pull: Callable[[Array, Array, Array], tuple[Array, Array]]


class Compared(NamedTuple):
    """The vectors that engines compare: by scale·(query·key) + score, or by `pairs` in the product's place.

    Attributes:
      query: [*B, T, N, P], in the dtype of the call's.
      key: [*B, S, K, R].
      scale: [], in the softmax's dtype.
      score: what is added to the products.
      pairs: the function in the product's place.
    """

    query: Float[Array, "*B T N P"]
    key: Float[Array, "*B S K R"]
    scale: Float[Array, ""]
    score: "OfTokens | None" = None
    pairs: PairFunction | None = None


class Comparison(PytreeNode):
    """A comparison of a query with a key, an immutable pytree: its arrays are differentiable.

    A comparison of your own is a subclass with `prepare`, and with `scale` where the scores are scaled when
    the call gives no scale. What is a product of functions of the query and of the key runs on every engine;
    what is not names a `PairFunction`, whose parameters ride with the queries.

    Example:
      >>> from attnjax.ops import comparisons
      >>> comparisons.cosine(temperature=0.5)
      cosine(0.5)
    """

    def scale(self, size: int) -> float:
        """Returns the factor of the scores of queries of this size, where the call gives none."""
        return 1.0

    def prepare(self, query: Array, key: Array, scale: Array, precision: Any) -> Compared:
        """Returns what engines compare; ValueError where the arrays do not fit query or key.

        Args:
          query: [*B, T, N, H], finite, in the softmax's dtype.
          key: [*B, S, K, R], likewise.
          scale: [].
          precision: of the matrix products.
        """
        raise NotImplementedError


def compare(comparison: Any, query: Array, key: Array, scale: Any, dtype: Any, precision: Any) -> Compared:
    """Returns what engines compare, in the dtypes of query and key.

    A vector that holds NaN or inf is compared as zeros, and is NaN after that: so it comes back as NaN
    wherever it is attended, and as 0 in the gradients of all that is not.
    """
    if not isinstance(comparison, Comparison):
        raise TypeError(f"comparison is {comparison!r}: expected one of attnjax.ops.comparisons")
    scale = comparison.scale(query.shape[-1]) if scale is None else scale
    (finite_query, lost_query), (finite_key, lost_key) = (_finite(x.astype(dtype)) for x in (query, key))
    found = comparison.prepare(finite_query, finite_key, jnp.asarray(scale, dtype), precision)
    return found._replace(
        query=jnp.where(lost_query, jnp.nan, found.query).astype(query.dtype),
        key=jnp.where(lost_key, jnp.nan, found.key).astype(key.dtype),
    )


def _finite(x: Array) -> tuple[Array, Array]:
    """Returns vectors without what is not finite, and where there was some [..., 1]."""
    lost = ~jnp.isfinite(x).all(axis=-1, keepdims=True)
    return jnp.where(lost, 0, x), lost


class OfTokens(Score):
    """The score s + a_i + b_j, of a number for each query [*B, T, N] and for each key [*B, S, K or N]."""

    query: Any = None
    key: Any = None

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        """Returns the score with its arrays laid out for calls of these sizes."""
        query, key = (None if x is None else jnp.moveaxis(x, -1, -2) for x in (self.query, self.key))
        if key is not None:
            key = jnp.repeat(key, sizes.heads // key.shape[-2], axis=-2)[..., None, :]
        return OfTokens(
            None if query is None else pair_grid("query", query[..., None], sizes),
            None if key is None else pair_grid("key", key, sizes),
        )

    def apply(self, scores: Array, at: Block, attended: Bool[Array, "..."] | None) -> Array:
        """Returns the changed scores of a block."""
        for part in (self.query, self.key):
            scores = scores if part is None else scores + part.array
        return scores


def of_heads(name: str, x: Any, shape: dict[str, int], heads: int) -> Array:
    """Returns an array [N, *shape], of one for all heads too; ValueError for another shape."""
    x, sizes = floats(name, x), tuple(shape.values())
    if x.shape not in (sizes, (heads, *sizes)):
        letters = ", ".join(shape)
        raise ValueError(
            f"{name} has shape {list(x.shape)}: expected {[heads, *sizes]} (N, {letters}), or {list(sizes)} "
            "for all heads"
        )
    return jnp.broadcast_to(x, (heads, *sizes))


def per_query_head(key: Array, heads: int) -> Array:
    """Returns keys [*B, S, K, R] for each query head: [*B, S, N, R]."""
    return key if key.shape[-2] == heads else jnp.repeat(key, heads // key.shape[-2], axis=-2)


def one_size(query: Array, key: Array) -> None:
    """Raises ValueError where query and key differ in size."""
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"query {list(query.shape)} (*B, T, N, H) and key {list(key.shape)} (*B, S, K, H): this "
            "comparison needs one head size H"
        )
