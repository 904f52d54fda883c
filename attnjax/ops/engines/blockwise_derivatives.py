"""The derivatives of attention in blocks, forward and in reverse, one block at a time.

The backward pass follows FlashAttention-2 (Dao, 2023, arXiv:2307.08691):

    dP = dO Vᵀ,  dS = W ∘ (dP + dlse - Σ dO ∘ O),  dQ = dS K,  dK = dSᵀ Q,  dV = Wᵀ dO,
    W = exp(S - highest) / total

W is recomputed in each block. The highest score of a row and the sum of its exponentials stay apart:
exp(S - lse) would lose the log of the sum where all scores are far from 0. dK and dV of a block are computed
transposed (Qᵀ dS), because XLA's CPU products of a transposed dS take twice as long.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from attnjax.ops.core.node import varying
from attnjax.ops.engines.blocking import Blocked, Index, uncut
from attnjax.ops.engines.call import clean, dropped, pair_scores
from attnjax.ops.engines.cutting import Cutting
from attnjax.ops.engines.linear_map import linear_map
from attnjax.ops.engines.schedule import fold_rows


def backward(
    cutting: Cutting,
    wanted: tuple[bool, ...],
    structure: Any,
    residuals: list[Array],
    cotangents: list[Array],
    transposable: bool,
) -> list[Array]:
    """Returns the cotangents of the wanted floats from those of out and of the log-sum-exp."""
    floats, fixed, out, highest, total = jax.tree.unflatten(structure, residuals)
    (query, key, value, scale, *params), (d_out, d_lse) = floats, cotangents
    # One number for each query stands for all that its other pairs do to a pair.
    shift = d_lse - jnp.sum(d_out * out, axis=-1) if cutting.online else jnp.zeros_like(total)
    if (
        cutting.online
    ):  # What divides the weights of a row divides its cotangents instead, once for all pairs.
        shift, d_out = shift * inverse(total), d_out * inverse(total)[..., None]
    q, d_o, level, shifts = (cutting.cut_queries(x) for x in (query, d_out, highest, shift))
    k, v = cutting.cut_keys(key), cutting.cut_keys(value)
    cut_params, cut_data = cutting.cut_params(params), cutting.cut_data(fixed.data)
    wants_query, wants_key, wants_value = wanted[0] or wanted[3], wanted[1], wanted[2]

    def row(carry: Any, here: Index, visit: Any) -> Any:
        d_query, d_key, d_value, *d_params = carry
        own, own_d_out = cutting.by_group(cutting.load(q[here])) * scale, cutting.by_group(d_o[here])
        own_t, own_d_out_t = _t(own), _t(own_d_out)
        own_level, own_shift = level[here], shifts[here][..., None]

        def step(state: Any, index: Index, masked: bool) -> Any:
            d_own, d_key, d_value, d_params = state
            data = [x[index] for x in cut_data]
            whole = cutting.rules([x[index] for x in cut_params], data)
            at, attended = cutting.pairs(whole, index, masked)
            keys, values = cutting.load(k[index]), cutting.load(v[index])

            def weigh(products: Array, params: list[Array]) -> tuple[Array, Array]:
                rules = cutting.rules(params, data)
                scores = pair_scores(products, rules, at, attended)
                weights = rules.normalizer.pair_weights(scores, own_level, attended)
                return weights, dropped(weights, rules)

            products = cutting.by_head(products_of(own, keys, whole))
            (_, kept), pull = jax.vjp(weigh, products, [x[index] for x in cut_params])
            d_weights = cutting.by_head(dot_transposed(own_d_out, values, whole))
            d_products, moved = pull((jnp.broadcast_to(own_shift, d_weights.shape), d_weights))
            d_products = cutting.by_group(d_products)
            moved_query, moved_key = pull_products(own, own_t, keys, d_products, whole)
            if wants_query:
                d_own += moved_query
            if wants_key:
                d_key = d_key.add(index, moved_key)
            if wants_value:
                d_value = d_value.add(index, _t(dot(own_d_out_t, cutting.by_group(kept), whole)))
            moved = [m for m, w in zip(moved, wanted[4:], strict=True) if w]
            return d_own, d_key, d_value, [x.add(index, m) for x, m in zip(d_params, moved, strict=True)]

        state = varying(jnp.zeros_like(own), residuals), d_key, d_value, d_params
        d_own, d_key, d_value, d_params = visit(step, state)
        return [d_query.put(here, cutting.by_head(d_own)), d_key, d_value, *d_params]

    start = [
        x.with_array(jnp.zeros_like(x.array, cutting.dtype))
        for x in (q, k, v, *(x for x, w in zip(cut_params, wanted[4:], strict=True) if w))
    ]
    done = fold_rows(
        row,
        varying(start, residuals),
        fixed.schedule,
        cutting.blocking,
        transposable=transposable,
        independent=False,
    )
    d_query, d_key, d_value = (uncut(x, y.shape) for x, y in zip(done[:3], floats[:3], strict=True))
    d_scale = jnp.sum(d_query * clean(query.astype(cutting.dtype), cutting.masked)) if wanted[3] else None
    d_params = iter(done[3:])
    found = [d_query * scale, d_key, d_value, d_scale]
    found += [uncut(next(d_params), x.shape) if w else None for x, w in zip(params, wanted[4:], strict=True)]
    return [d.astype(x.dtype) for d, x, w in zip(found, floats, wanted, strict=True) if w]


def tangent(
    cutting: Cutting,
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

    def cut_floats(query: Array, key: Array, value: Array, scale: Array, *params: Array) -> list[Any]:
        tokens = [cutting.cut_queries(query), cutting.cut_keys(key), cutting.cut_keys(value)]
        return [*tokens, *cutting.cut_params([scale, *params])]

    blocks, d_blocks = cut_floats(*floats), cut_floats(*d_floats)
    level, cut_data = cutting.cut_queries(highest), cutting.cut_data(fixed.data)

    def row(carry: list[Blocked], here: Index, visit: Any) -> list[Blocked]:
        own_level = level[here]

        def step(state: list[Array], index: Index, masked: bool) -> list[Array]:
            data = [x[index] for x in cut_data]

            def seen(query: Array, key: Array, value: Array, scale: Array, *params: Array) -> Any:
                rules = cutting.rules(list(params), data)
                at, attended = cutting.pairs(rules, index, masked)
                own = cutting.by_group(cutting.load(query)) * scale
                products = products_of(own, cutting.load(key), rules)
                scores = pair_scores(cutting.by_head(products), rules, at, attended)
                weights = rules.normalizer.pair_weights(scores, own_level, attended)
                kept = cutting.by_group(dropped(weights, rules))
                return [dot(kept, cutting.load(value), rules), weights.sum(axis=-1)]

            _, moved = jax.jvp(seen, [x[index] for x in blocks], [x[index] for x in d_blocks])
            return [x + m for x, m in zip(state, moved, strict=True)]

        zero = jnp.zeros_like(own_level)
        acc = cutting.by_group(zero)[..., None] + jnp.zeros((1, 1, 1, out.shape[-1]), out.dtype)
        acc, added = visit(step, varying([acc, zero], (residuals, vectors)))
        return [x.put(here, block) for x, block in zip(carry, (cutting.by_head(acc), added), strict=True)]

    start = [cutting.cut_queries(jnp.zeros_like(x)) for x in (out, total)]
    start = varying(start, (residuals, vectors))
    done = fold_rows(
        row, start, fixed.schedule, cutting.blocking, transposable=transposable, independent=True
    )
    d_out, d_total = (uncut(x, like.shape) for x, like in zip(done, (out, total), strict=True))
    if not cutting.online:
        return [d_out, jnp.zeros_like(total)]
    d_lse = d_total * inverse(total)
    return [d_out * inverse(total)[..., None] - d_lse[..., None] * out, d_lse]


def attend_jvp(attend: Any, tangent: Any, backward: Any, cutting: Any, primals: Any, tangents: Any) -> Any:
    """The rule of `attend`, whose derivatives are `tangent` and, in reverse, `backward`."""
    floats, fixed = primals
    out, highest, total = attend(cutting, floats, fixed)
    wanted = tuple(not isinstance(t, SymbolicZero) for t in tangents[0])
    residuals, structure = jax.tree.flatten((floats, fixed, out, highest, total))
    forward, transpose = (functools.partial(fn, cutting, wanted, structure) for fn in (tangent, backward))
    moved = [t for t, w in zip(tangents[0], wanted, strict=True) if w]
    d_out, d_lse = linear_map(forward, transpose, residuals, moved)
    return (out, highest, total), (d_out, jnp.zeros_like(highest), total * d_lse)


def inverse(total: Array) -> Array:
    """Returns 1 / total; 1 in rows without keys."""
    return 1 / jnp.where(total == 0, 1, total)


def products_of(own: Array, keys: Array, rules: Any) -> Array:
    """Returns the products of a block's scaled queries and keys, or what the rules have in their place."""
    return dot_transposed(own, keys, rules) if rules.pairs is None else rules.pairs.lean(own, keys)


def pull_products(own: Array, own_t: Array, keys: Array, moved: Array, rules: Any) -> tuple[Array, Array]:
    """Returns the cotangents of a block's queries and keys from those of their products."""
    if rules.pairs is None:
        return dot(moved, keys, rules), _t(dot(own_t, moved, rules))
    pulled: tuple[Array, Array] = rules.pairs.pull(own, keys, moved)
    return pulled


def dot(x: Array, y: Array, rules: Any) -> Array:
    """Returns x y."""
    return jnp.matmul(x, y, precision=rules.precision)


def dot_transposed(x: Array, y: Array, rules: Any) -> Array:
    """Returns x yᵀ, as one product of both as they lie: XLA on CPU would transpose `_t(y)` first."""
    return jnp.einsum("...th,...sh->...ts", x, y, precision=rules.precision)


def _t(x: Array) -> Array:
    return jnp.swapaxes(x, -1, -2)
