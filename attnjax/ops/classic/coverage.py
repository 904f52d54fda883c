"""Attention that remembers how much each key was attended, and the loss on attending one again."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.classic.common import softmax_of, tokens_of
from attnjax.ops.comparisons.base import of_heads
from attnjax.ops.core.checks import floats
from attnjax.ops.masks import Mask


class Covered(NamedTuple):
    """The output of `coverage_attention`.

    Attributes:
      out: [*B, T, N, V], in the query's dtype.
      weights: [*B, N, T, S], in the softmax's dtype.
      coverage: [*B, N, S], the sum of all weights so far.
    """

    out: Float[Array, "*B T N V"]
    weights: Float[Array, "*B N T S"]
    coverage: Float[Array, "*B N S"]


def coverage_attention(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B S K H"],
    value: Float[Array, "*B S K V"],
    v: Float[Array, "N H"],
    weight: Float[Array, "N H"],
    *,
    mask: Mask | Bool[Array, "..."] | None = None,
    coverage: Float[Array, "*B N S"] | None = None,
) -> Covered:
    """Returns additive attention that sees how much its queries before have attended each key.

        c_tj = Σ_{i<t} a_ij,  a_t = softmax_j(v·tanh(q_t + k_j + w c_tj)),  out_t = Σ_j a_tj value_j

    It takes one query after another, in O(N·S·H) memory each and O(N·T·S) in all.

    Args:
      query: W s, projected.
      key: U h + b, projected; N divisible by K.
      value: h, or a projection of it.
      v: of each head.
      weight: w, of each head.
      mask: as in `attention`.
      coverage: of queries before these; None: 0.

    Returns:
      The output, the weights, and the coverage after the last query.

    Raises:
      TypeError: an argument is of another type.
      ValueError: shapes do not fit.

    References:
      See et al., Get To The Point: Summarization with Pointer-Generator Networks, 2017 (arXiv:1704.04368).

    Example:
      >>> x, v = jnp.zeros((2, 1, 1)), jnp.ones((1, 1))
      >>> found = coverage_attention(x, x, x, v, -v, coverage=jnp.array([[0.0, 9.0]]))
      >>> print(jnp.array_str(found.weights[0], precision=2))
      [[0.73 0.27]
       [0.59 0.41]]
    """
    tokens = tokens_of(query, key, value, mask)
    sizes, dtype = tokens.sizes, tokens.key.dtype
    of_head = {"H": tokens.key.shape[-1]}
    v, weight = (
        of_heads(name, x, of_head, sizes.heads).astype(dtype)[:, None]
        for name, x in (("v", v), ("weight", weight))
    )
    covered = (*sizes.batch, sizes.heads, sizes.keys)
    start = jnp.zeros(covered, dtype) if coverage is None else floats("coverage", coverage).astype(dtype)
    if start.shape != covered:
        raise ValueError(f"coverage has shape {list(start.shape)}: expected {list(covered)} (*B, N, S)")
    keys = jnp.moveaxis(tokens.key, -3, -2)

    @jax.checkpoint
    def step(coverage: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        query, attended = row
        hidden = jnp.tanh(query[..., None, :] + keys + coverage[..., None] * weight)
        scores = jnp.sum(v * hidden, axis=-1) + tokens.lost[..., 0, :]
        weights = softmax_of(scores, attended)
        return coverage + weights, weights

    rows = jnp.moveaxis(tokens.query, -3, 0), jnp.moveaxis(tokens.attended, -2, 0)
    total, weights = jax.lax.scan(step, start, rows)
    weights = jnp.moveaxis(weights, 0, -2)
    return Covered(tokens.per_query(weights, jnp.asarray(query).dtype), weights, total)


def coverage_loss(
    weights: Float[Array, "*B N T S"],
    *,
    mask: Bool[Array, "*B T"] | None = None,
    coverage: Float[Array, "*B N S"] | None = None,
) -> Float[Array, ""]:
    """Returns Σ_j min(a_tj, c_tj), how much a query attends what was attended before, in the mean.

    Args:
      weights: a, of queries in their order.
      mask: the queries that count; None: all.
      coverage: of queries before these; None: 0.

    Returns:
      The mean over heads and over the queries that count; 0 where none does.

    Raises:
      TypeError: the weights are not floating point.
      ValueError: they have fewer than three axes.

    References:
      See et al., Get To The Point: Summarization with Pointer-Generator Networks, 2017 (arXiv:1704.04368).

    Example:
      >>> print(coverage_loss(jnp.array([[[1.0, 0.0], [0.75, 0.25]]])))
      0.375
    """
    weights = floats("weights", weights)
    if weights.ndim < 3:
        raise ValueError(f"weights has shape {list(weights.shape)}: expected (*B, N, T, S)")
    before = jnp.cumsum(weights, axis=-2) - weights
    before = before if coverage is None else before + coverage[..., None, :]
    again = jnp.minimum(weights, before).sum(-1).mean(-2)
    counted: Any = jnp.ones_like(again) if mask is None else jnp.broadcast_to(mask, again.shape)
    return jnp.where(counted, again, 0).sum() / jnp.maximum(counted.sum(), 1)
