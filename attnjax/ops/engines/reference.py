"""The dense engine: the definition of the semantics, in the order of the formula."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.engines.problem import (
    Problem,
    Result,
    Rules,
    Vectors,
    dropped,
    join_heads,
    pair_scores,
    split_heads,
)
from attnjax.ops.grid import block, take_rows


def run(problem: Problem) -> Result:
    """scale·(q·k) → scores → + bias → mask → normaliser → dropout → · value."""
    rules, vectors = problem.rules, split_heads(problem)
    weights, lse = _weigh(vectors, rules, jnp.arange(rules.sizes.queries))
    batch, queries, groups, shared, _ = vectors.query.shape
    weights = dropped(weights, rules).reshape(batch, groups, shared, queries, rules.sizes.keys)
    out = jnp.einsum("bkgts,bskv->btkgv", weights, vectors.value, precision=rules.precision)
    return Result(join_heads(out), lse)


def weights(problem: Problem, rows: Array | None) -> Float[Array, "B N rows S"]:
    """The weights before dropout of all query rows, or of `rows` [R] alone."""
    rules, vectors = problem.rules, split_heads(problem)
    if rows is None:
        return _weigh(vectors, rules, jnp.arange(rules.sizes.queries))[0]
    chosen = vectors._replace(
        query=jnp.take(vectors.query, rows, axis=1),
        query_poison=None if rules.mask is None else jnp.take(vectors.query_poison, rows, axis=1),
    )
    return _weigh(chosen, take_rows(rules, rows), rows)[0]


def _weigh(vectors: Vectors, rules: Rules, rows: Array) -> tuple[Array, Array | None]:
    """Weights [B, N, rows, S] and their log-sum-exp."""
    products = jnp.einsum("btkgh,bskh->bkgts", vectors.query, vectors.key, precision=rules.precision)
    at = block(rules.sizes, rows, jnp.arange(rules.sizes.keys))
    attended = None
    if rules.mask is not None:
        products += jnp.moveaxis(vectors.query_poison, 1, 3)[..., None]
        products += jnp.swapaxes(vectors.key_poison, 1, 2)[:, :, None, None, :]
        attended = rules.mask.evaluate(at)
    products = products.reshape(products.shape[0], rules.sizes.heads, *products.shape[3:])
    return rules.normalizer.weights(pair_scores(products, rules, at, attended), attended)
