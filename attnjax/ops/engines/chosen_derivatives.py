"""The derivatives of attention to chosen blocks, forward and in reverse, one turn at a time.

The formulas are those of `blockwise_derivatives`. ListLanes that share a block of keys add to its gradient.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.core.node import varying
from attnjax.ops.engines.blockwise_derivatives import dot, dot_transposed, inverse
from attnjax.ops.engines.call import clean, dropped, pair_scores
from attnjax.ops.engines.chosen_lanes import Here, ListLanes, Plan, places
from attnjax.ops.engines.schedule import repeat


def backward(
    lanes: ListLanes,
    wanted: tuple[bool, ...],
    structure: Any,
    residuals: list[Array],
    cotangents: list[Array],
    transposable: bool,
) -> list[Array]:
    """Returns the cotangents of the wanted floats from those of out and of the log-sum-exp."""
    floats, fixed, out, highest, total = jax.tree.unflatten(structure, residuals)
    (query, key, value, scale, *params), (d_out, d_lse) = floats, cotangents
    shift = (d_lse - jnp.sum(d_out * out, axis=-1)) * inverse(total)
    d_out = d_out * inverse(total)[..., None]
    q, d_o, level, shifts = (lanes.lay_queries(x) for x in (query, d_out, highest, shift))
    k, v = lanes.lay_keys(key), lanes.lay_keys(value)
    numbers = jnp.arange(lanes.lanes)

    def body(turn: Array, state: Any) -> Any:
        d_query, d_key, d_value, d_params = state

        def one(
            plan: Plan, lane: Array, q: Array, d_o: Array, level: Array, shifts: Array, d_query: Array
        ) -> Any:
            here = lanes.here(plan, lane, turn)
            own = lanes.by_group(lanes.load(lanes.take(q, here)) * scale)
            own_d_out = lanes.by_group(lanes.take(d_o, here))
            own_level, own_shift = lanes.take(level, here)[None], lanes.take(shifts, here)[None]
            keys, values = lanes.load(lanes.take_keys(k, here)), lanes.load(lanes.take_keys(v, here))
            whole = lanes.here_rules(params, fixed.data, here)
            attended = lanes.pairs(whole, here)
            cut, data = lanes.here_params(params, here), lanes.here_data(fixed.data, here)

            def weigh(products: Array, cut: list[Array]) -> tuple[Array, Array]:
                rules = lanes.rules(cut, data)
                scores = pair_scores(products, rules, here.at, attended)
                weights = rules.normalizer.pair_weights(scores, own_level, attended)
                return weights, dropped(weights, rules)

            products = lanes.by_head(dot_transposed(own, keys, whole))
            (_, kept), pull = jax.vjp(weigh, products, cut)
            d_weights = lanes.by_head(dot_transposed(own_d_out, values, whole))
            d_products, moved = pull((jnp.broadcast_to(own_shift[..., None], d_weights.shape), d_weights))
            d_products, kept = lanes.by_group(d_products[0]), lanes.by_group(kept[0])
            d_own = lanes.take(d_query, here) + lanes.by_head(dot(d_products, keys, whole))[0]
            d_keys = _t(dot(_t(own), d_products, whole))
            d_values = _t(dot(_t(own_d_out), kept, whole))
            return lanes.put(d_query, here, d_own), d_keys, d_values, moved, here

        d_query, d_keys, d_values, moved, here = jax.vmap(one)(
            fixed.plan, numbers, q, d_o, level, shifts, d_query
        )
        d_params = [
            _added(x, here, m, grid)
            for x, m, grid in zip(d_params, moved, lanes.params(lanes.grids), strict=True)
        ]
        return d_query, lanes.add_keys(d_key, here, d_keys), lanes.add_keys(d_value, here, d_values), d_params

    start: Any = (*(jnp.zeros_like(x, lanes.dtype) for x in (q, k, v)), [jnp.zeros_like(x) for x in params])
    start = varying(start, residuals)
    d_query, d_key, d_value, d_params = repeat(body, start, fixed.turns, lanes.most, transposable)
    d_query, d_key, d_value = lanes.lie_queries(d_query), lanes.lie_keys(d_key), lanes.lie_keys(d_value)
    d_scale = jnp.sum(d_query * clean(query.astype(lanes.dtype), True))
    found = [d_query * scale, d_key, d_value, d_scale, *d_params]
    return [d.astype(x.dtype) for d, x, w in zip(found, floats, wanted, strict=True) if w]


def tangent(
    lanes: ListLanes,
    wanted: tuple[bool, ...],
    structure: Any,
    residuals: list[Array],
    vectors: list[Array],
    transposable: bool,
) -> list[Array]:
    """Returns the tangents of out and of the log-sum-exp from those of the wanted floats."""
    floats, fixed, out, highest, total = jax.tree.unflatten(structure, residuals)
    given = iter(vectors)
    d_floats = [next(given) if w else jnp.zeros_like(x) for x, w in zip(floats, wanted, strict=True)]

    def laid(query: Array, key: Array, value: Array, *others: Array) -> Any:
        return lanes.lay_queries(query), lanes.lay_keys(key), lanes.lay_keys(value), others

    (q, k, v, others), (d_q, d_k, d_v, d_others) = laid(*floats), laid(*d_floats)
    level = lanes.lay_queries(highest)

    def body(turn: Array, state: Any) -> Any:
        def one(plan: Plan, lane: Array, q: Array, d_q: Array, level: Array, state: Any) -> Any:
            here = lanes.here(plan, lane, turn)
            data, own_level = lanes.here_data(fixed.data, here), lanes.take(level, here)[None]

            def seen(query: Array, key: Array, value: Array, others: Any) -> Any:
                scale, *params = others
                rules = lanes.rules(lanes.here_params(params, here), data)
                own = lanes.by_group(lanes.load(query) * scale)
                products = lanes.by_head(dot_transposed(own, lanes.load(key), rules))
                scores = pair_scores(products, rules, here.at, lanes.pairs(rules, here))
                weights = rules.normalizer.pair_weights(scores, own_level, None)
                kept = lanes.by_group(dropped(weights, rules)[0])
                return lanes.by_head(dot(kept, lanes.load(value), rules))[0], weights.sum(axis=-1)[0]

            at = lanes.take(q, here), lanes.take_keys(k, here), lanes.take_keys(v, here), others
            along = lanes.take(d_q, here), lanes.take_keys(d_k, here), lanes.take_keys(d_v, here), d_others
            _, moved = jax.jvp(seen, at, along)
            return [lanes.put(x, here, lanes.take(x, here) + m) for x, m in zip(state, moved, strict=True)]

        return jax.vmap(one)(fixed.plan, jnp.arange(lanes.lanes), q, d_q, level, state)

    start = varying([lanes.lay_queries(jnp.zeros_like(x)) for x in (out, total)], (residuals, vectors))
    done = repeat(body, start, fixed.turns, lanes.most, transposable)
    d_out, d_total = (lanes.lie_queries(x) for x in done)
    d_lse = d_total * inverse(total)
    return [d_out * inverse(total)[..., None] - d_lse[..., None] * out, d_lse]


def _added(x: Array, here: Here, moved: Array, grid: bool) -> Array:
    """A parameter's cotangent with those of a turn's parts, an axis of lanes before each."""
    if not grid:
        return x + moved.sum(axis=0)
    return x.at[jax.vmap(lambda at: places(x.shape, at))(here.at)].add(moved)


def _t(x: Array) -> Array:
    return jnp.swapaxes(x, -1, -2)
