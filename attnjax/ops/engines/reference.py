"""The dense engine: the definition of the semantics, in the order of the formula."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.engines.problem import (
    Problem,
    Result,
    clean,
    dropped,
    join_heads,
    pair_scores,
    poison_of,
    split_queries,
)
from attnjax.ops.grid import block, take_rows


def run(problem: Problem) -> Result:
    """scale·(q·k) → scores → + bias → mask → normaliser → dropout → · value."""
    rules = problem.rules
    weights, lse = _weigh(problem, None)
    batch, queries, groups, shared, _ = split_queries(problem).shape
    weights = dropped(weights, rules).reshape(batch, groups, shared, queries, rules.sizes.keys)
    value = clean(problem.value.astype(problem.dtype), rules.mask is not None)
    out = jnp.einsum("bkgts,bskv->btkgv", weights, value, precision=rules.precision)
    return Result(join_heads(out), lse)


def weights(problem: Problem, rows: Array | None) -> Float[Array, "B N rows S"]:
    """The weights before dropout of all query rows, or of `rows` [R] alone."""
    return _weigh(problem, rows)[0]


def _weigh(problem: Problem, rows: Array | None) -> tuple[Array, Array | None]:
    """Weights [B, N, rows, S] and their log-sum-exp."""
    rules, poison, query = problem.rules, poison_of(problem), split_queries(problem)
    index = jnp.arange(rules.sizes.queries) if rows is None else rows
    if rows is not None:
        query, rules = jnp.take(query, rows, axis=1), take_rows(rules, rows)
    query, key = (clean(x.astype(problem.dtype), rules.mask is not None) for x in (query, problem.key))
    products = jnp.einsum("btkgh,bskh->bkgts", query * problem.scale, key, precision=rules.precision)
    at = block(rules.sizes, index, jnp.arange(rules.sizes.keys))
    attended = None
    if poison is not None and rules.mask is not None:
        products += jnp.moveaxis(jnp.take(poison.query, index, axis=1), 1, 3)[..., None]
        products += jnp.swapaxes(poison.key, 1, 2)[:, :, None, None, :]
        attended = rules.mask.evaluate(at)
    products = products.reshape(products.shape[0], rules.sizes.heads, *products.shape[3:])
    return rules.normalizer.weights(pair_scores(products, rules, at, attended), attended)
