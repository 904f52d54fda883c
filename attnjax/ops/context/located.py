"""The rules of a call for tokens that stand at given positions of its sequences."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.core.node import library
from attnjax.ops.core.pairs import KEY_AXIS, QUERY_AXIS, Grid, map_grids
from attnjax.ops.engines.call import Semantics
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.relabelled import Relabelled
from attnjax.ops.scores.relabelled import RelabelledScore


def of_queries(rules: Semantics, positions: Any) -> Semantics:
    """Returns the rules with what they hold for each query cut to the queries at these positions."""
    cut: Semantics = map_grids(_reader(QUERY_AXIS, positions), rules)
    return cut


def located(rules: Semantics, queries: Array, keys: Array | None) -> Semantics:
    """Returns the rules for the tokens at these positions [t] and [s]; None = all keys, as they come.

    The rules hold whole sequences of keys, and of queries those at the positions alone. Masks, scores and the
    random words of dropout are evaluated where the tokens stand, so that they are those of the whole call.
    """
    read = (lambda x: x) if keys is None else _reader(KEY_AXIS, keys)
    keys = jnp.arange(rules.sizes.keys, dtype=jnp.int32) if keys is None else keys
    places = Grid(queries.reshape(1, 1, -1, 1)), Grid(keys.reshape(1, 1, 1, -1))
    mask, scores = map_grids(read, (rules.mask, rules.scores))
    return dataclasses.replace(
        rules,
        mask=None if mask is None else Relabelled(mask, *places),
        scores=tuple(RelabelledScore(score, *places) for score in scores),
        normalizer=map_grids(read, rules.normalizer),
        dropout=map_grids(read, rules.dropout),
        sizes=rules.sizes._replace(queries=queries.shape[0], keys=keys.shape[0]),
    )


def relabelled(mask: Mask, queries: Any, keys: Any) -> Mask:
    """Returns a bound mask whose arrays are whole along keys and of these queries, where its tokens stand."""
    mask = map_grids(_reader(KEY_AXIS, keys), mask)
    return Relabelled(mask, Grid(queries.reshape(1, 1, -1, 1)), Grid(keys.reshape(1, 1, 1, -1)))


def _reader(axis: int, positions: Any) -> Callable[[Any], Any]:
    return lambda x: x if x.shape[axis] == 1 else library(x, positions).take(x, positions, axis=axis)
