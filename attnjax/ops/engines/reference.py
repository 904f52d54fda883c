"""The dense engine: the definition of the semantics, in the order of the formula."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.engines.problem import Problem, Result, join_heads, pair_scores, split_heads, weigh
from attnjax.ops.grid import block, take_rows


def run(problem: Problem) -> Result:
    """scale·(q·k) → scores → + bias → mask → normaliser → dropout → · value."""
    rules = problem.rules
    query, key, value = split_heads(problem)
    at = block(rules.sizes, jnp.arange(rules.sizes.queries), jnp.arange(rules.sizes.keys))
    attended = None if rules.mask is None else rules.mask.evaluate(at)
    scores = pair_scores(query, key, rules, at, attended)
    weights, lse = rules.normalizer.weights(scores, attended)
    return Result(join_heads(weigh(weights, value, rules, attended)), lse)


def weights(problem: Problem, rows: Array | None) -> Float[Array, "B N rows S"]:
    """The weights before dropout of all query rows, or of `rows` [R] alone."""
    query, key, _ = split_heads(problem)
    rules = problem.rules
    index = jnp.arange(rules.sizes.queries) if rows is None else rows
    if rows is not None:
        query, rules = jnp.take(query, rows, axis=3), take_rows(rules, rows)
    at = block(rules.sizes, index, jnp.arange(rules.sizes.keys))
    attended = None if rules.mask is None else rules.mask.evaluate(at)
    return rules.normalizer.weights(pair_scores(query, key, rules, at, attended), attended)[0]
