"""Online softmax over the blocks that the mask leaves: memory grows with T + S, forward and backward,
but for the table of blocks (two numbers for each).

The forward pass follows FlashAttention (Dao et al., 2022), the backward pass FlashAttention-2 (Dao, 2023):

    dP = dO Vᵀ,  dS = W ∘ (dP + dlse - Σ dO ∘ O),  dQ = dS K,  dK = dSᵀ Q,  dV = Wᵀ dO,  W = exp(S - lse)

one block at a time, W recomputed in each. Every loop adds to arrays of blocks, so the order of the blocks
does not matter and one list of them serves all passes. Operands are transposed beforehand where a product
would need it: XLA's CPU products of transposed operands take twice as long.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from attnjax.ops.engines import reference
from attnjax.ops.engines.blocks import Axes, Blocked, Blocking, Index, cut, grid_axes, join
from attnjax.ops.engines.linear_map import linear_map
from attnjax.ops.engines.problem import Problem, Result, Rules, dropped, join_heads, pair_scores, split_heads
from attnjax.ops.engines.tuning import blocking_of
from attnjax.ops.engines.visits import Visits, fold, fold_rows, kinds, visits
from attnjax.ops.grid import Block, is_grid
from attnjax.ops.normalizers import Softmax, finite

# The axes of arrays [B, T, K, G, ·] and [B, S, K, ·] that are cut, and the order of those of a block:
# [b, k, g, t, ·], [b, k, s, ·] and, transposed for a product, [b, k, ·, s].
QUERY, QUERY_ORDER = Axes(0, 2, queries=1), (0, 2, 3, 1, 4)
KEY, KEY_ORDER, KEY_LAST = Axes(0, 2, keys=1), (0, 2, 1, 3), (0, 2, 3, 1)


class Fixed(NamedTuple):
    """Operands without a derivative: ids, lengths and random words of the rules; poison; what to visit."""

    data: list[Array]
    query_poison: Array | None
    key_poison: Array | None
    visits: Visits


def run(problem: Problem, blocking: Blocking | None = None, instead: Any = None) -> Result:
    """The attention of the problem, block by block; `instead` may take the place of `attend`."""
    if 0 in problem.query.shape or 0 in problem.key.shape:  # No pairs, no blocks.
        return reference.run(problem)
    vectors, rules = split_heads(problem), problem.rules
    blocking = blocking or blocking_of(problem)
    normalizer = rules.normalizer
    if isinstance(normalizer, Softmax):  # A sink changes no weight's ratio to another: it can come last.
        rules = dataclasses.replace(rules, normalizer=Softmax(None))
    call, leaves = _Call(rules, blocking), jax.tree.leaves(rules)
    todo = visits(kinds(rules.mask, blocking.tiles), blocking)
    floats = [vectors.query, vectors.key, vectors.value, *call.params(leaves)]
    fixed = Fixed(call.data(leaves), vectors.query_poison, vectors.key_poison, todo)
    # All floats alike: the cotangent of one that all devices of a `shard_map` share is summed over them.
    out, lse = (instead or attend)(call, _varying(floats, (floats, fixed)), fixed)
    if not isinstance(normalizer, Softmax):
        return Result(join_heads(out), None)
    lse = jnp.moveaxis(lse.reshape(*lse.shape[:2], -1), 1, 2)
    if normalizer.sink is None:
        return Result(join_heads(out), lse)
    whole = normalizer.add_sink(lse)
    share = jnp.moveaxis(jnp.exp(finite(lse) - finite(whole)), 1, 2)
    return Result(join_heads(out) * share[..., None], whole)


def blocks(problem: Problem) -> tuple[Blocking, Any]:
    """How `run` will cut the call, and the kind of every tile of its pairs."""
    blocking = blocking_of(problem)
    return blocking, kinds(problem.rules.mask, blocking.tiles)


class _Call:
    """The static part of a call: how its rules are put together from arrays, and how these are cut."""

    def __init__(self, rules: Rules, blocking: Blocking) -> None:
        self.structure, self.blocking = jax.tree.structure(rules), blocking
        self.online = rules.normalizer.route == "online"
        self.heads_in_block = blocking.groups * (rules.sizes.heads // blocking.key_heads)
        nodes = jax.tree.leaves(rules, is_leaf=is_grid)
        self._axes = [grid_axes(x.array) if is_grid(x) else Axes() for x in nodes]
        self._float = [jnp.issubdtype(jnp.result_type(x), jnp.inexact) for x in jax.tree.leaves(rules)]

    def params(self, leaves: list[Any]) -> list[Any]:
        """Those of the leaves of the rules that can have a derivative."""
        return [x for x, f in zip(leaves, self._float, strict=True) if f]

    def data(self, leaves: list[Any]) -> list[Any]:
        """The others."""
        return [x for x, f in zip(leaves, self._float, strict=True) if not f]

    def rules(self, params: list[Any], data: list[Any]) -> Rules:
        """The inverse of `params` and `data`, for whole arrays and for blocks of them."""
        pools = {True: iter(params), False: iter(data)}
        return jax.tree.unflatten(self.structure, [next(pools[f]) for f in self._float])

    def cut_keys(self, x: Array, order: tuple[int, ...] = KEY_ORDER) -> Blocked:
        """[B, S, K, ·] in blocks [b, k, s, ·], or [b, k, ·, s] in the order KEY_LAST."""
        return cut(x, KEY, self.blocking, order)

    def join_keys(self, x: Blocked, order: tuple[int, ...]) -> Array:
        return join(x, KEY, self.blocking, order)

    def cut_rows(self, x: Array) -> Blocked:
        """[B, T, K, G, ·] in blocks [b, k, G·t, ·]: a product for all the queries of a key head."""
        blocks = cut(x, QUERY, self.blocking, QUERY_ORDER)
        shape = blocks.array.shape
        return blocks.with_array(blocks.array.reshape(*shape[:3], -1, shape[-1]))

    def join_rows(self, x: Blocked) -> Array:
        shape = x.array.shape
        split = x.array.reshape(*shape[:3], -1, self.blocking.tiles.block_q, shape[-1])
        return join(x.with_array(split), QUERY, self.blocking, QUERY_ORDER)

    def cut_levels(self, x: Array) -> Blocked:
        """[B, T, K, G] in blocks [b, N, t]."""
        blocks = cut(x, QUERY, self.blocking, QUERY_ORDER[:4])
        shape = blocks.array.shape
        return blocks.with_array(blocks.array.reshape(*shape[:2], -1, shape[-1]))

    def cut_params(self, params: list[Array]) -> list[Blocked]:
        return [cut(x, a, self.blocking) for x, a in zip(params, self.params(self._axes), strict=True)]

    def join_param(self, x: Blocked, place: int) -> Array:
        return join(x, self.params(self._axes)[place], self.blocking)

    def cut_data(self, data: list[Array]) -> list[Blocked]:
        return [cut(x, a, self.blocking) for x, a in zip(data, self.data(self._axes), strict=True)]

    def heads(self, x: Array) -> Array:
        """[b, k, G·t, …] as [b, N, t, …]."""
        return x.reshape(x.shape[0], self.heads_in_block, -1, *x.shape[3:])

    def rows(self, x: Array) -> Array:
        """The inverse of `heads`."""
        return x.reshape(x.shape[0], self.blocking.groups, -1, *x.shape[3:])

    def dot(self, x: Array, y: Array, rules: Rules) -> Array:
        return jnp.matmul(x, y, precision=rules.precision)

    def attended(self, rules: Rules, index: Index) -> tuple[Block, Array]:
        """The indices of a block, and which of its pairs attend."""
        at, sizes = self.blocking.indices(index), rules.sizes
        inside = (at.q < sizes.queries) & (at.k < sizes.keys)
        return at, inside if rules.mask is None else inside & rules.mask.evaluate(at)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def attend(call: _Call, floats: list[Array], fixed: Fixed) -> tuple[Array, Array]:
    """out [B, T, K, G, V] and lse [B, T, K, G] (zeros where the normaliser has none)."""
    query, key, value, *params = floats
    q, k, v = call.cut_rows(query), call.cut_keys(key, KEY_LAST), call.cut_keys(value)
    poison = None if fixed.key_poison is None else call.cut_keys(fixed.key_poison, KEY_ORDER[:3])
    spoilt = None if poison is None else poison.with_array(poison.array.sum(-1, keepdims=True))
    cut_params, cut_data = call.cut_params(params), call.cut_data(fixed.data)

    def row(carry: Any, here: Index, visit: Any) -> Any:
        own = q[here]

        def step(state: Any, index: Index, masked: bool) -> Any:
            highest, total, acc = state
            rules = call.rules([x[index] for x in cut_params], [x[index] for x in cut_data])
            at, attended = call.attended(rules, index) if masked else (call.blocking.indices(index), None)
            products = call.heads(call.dot(own, k[index], rules))
            if poison is not None and masked:
                shared = products.shape[1] // poison[index].shape[1]
                products += jnp.repeat(poison[index], shared, axis=1)[:, :, None]
            scores = pair_scores(products, rules, at, attended)
            new = jnp.maximum(highest, scores.max(axis=-1)) if call.online else highest
            # Masked pairs weigh exp(-inf): only in a row that holds NaN, and is lost, is that not 0.
            weights = rules.normalizer.pair_weights(scores, new, None)
            added = call.rows(weights.sum(axis=-1))
            if spoilt is not None and not masked:
                added += spoilt[index]
            seen = call.dot(call.rows(dropped(weights, rules)), v[index], rules)
            if call.online:
                decay = call.rows(jnp.exp(highest - finite(new)))
                total, acc = total * decay, acc * decay[..., None]
            return new, total + added, acc + seen

        zero = jnp.zeros_like(own[..., 0])
        acc = zero[..., None] + jnp.zeros(value.shape[-1], value.dtype)
        state = visit(step, _varying((call.heads(zero) - jnp.inf, zero, acc), (floats, fixed)))
        return [x.put(here, block) for x, block in zip(carry, (call.rows(state[0]), *state[1:]), strict=True)]

    zero = q.with_array(jnp.zeros_like(q.array[..., 0]))
    acc = q.with_array(jnp.zeros_like(q.array[..., :1]) + jnp.zeros(value.shape[-1], value.dtype))
    carry = _varying([zero, zero, acc], (floats, fixed))
    highest, total, acc = fold_rows(row, carry, fixed.visits, call.blocking)
    highest, total = (call.join_rows(x.with_array(x.array[..., None]))[..., 0] for x in (highest, total))
    out = call.join_rows(acc)
    total = total if fixed.query_poison is None else jnp.where(total == 0, 0, total + fixed.query_poison)
    if not call.online:
        return out + (0 * total)[..., None], jnp.zeros_like(total)
    lse = Softmax(None).log_sum_exp(highest, total)
    return out * jnp.exp(finite(highest) - finite(lse))[..., None], lse


@functools.partial(attend.defjvp, symbolic_zeros=True)
def _attend_jvp(call: _Call, primals: Any, tangents: Any) -> Any:
    floats, fixed = primals
    out, lse = attend(call, floats, fixed)
    wanted = tuple(not isinstance(t, SymbolicZero) for t in tangents[0])
    residuals, structure = jax.tree.flatten((floats, fixed, out, lse))
    forward, transpose = (functools.partial(fn, call, wanted, structure) for fn in (tangent, backward))
    moved = [t for t, w in zip(tangents[0], wanted, strict=True) if w]
    return (out, lse), tuple(linear_map(forward, transpose, residuals, moved))


def backward(
    call: _Call,
    wanted: tuple[bool, ...],
    structure: Any,
    residuals: list[Array],
    cotangents: list[Array],
    transposable: bool,
) -> list[Array]:
    """The cotangents of the wanted floats from those of out and lse."""
    floats, fixed, out, lse = jax.tree.unflatten(structure, residuals)
    (query, key, value, *params), (d_out, d_lse) = floats, cotangents
    shift = jnp.zeros_like(lse)
    if call.online:
        shift = d_lse - jnp.sum(d_out * out, axis=-1)
    swap = functools.partial(jnp.swapaxes, axis1=-1, axis2=-2)
    q, k, d_o = call.cut_rows(query), call.cut_keys(key), call.cut_rows(d_out)
    k_t, v_t = (call.cut_keys(x, KEY_LAST) for x in (key, value))
    q_t, d_o_t = (x.with_array(swap(x.array)) for x in (q, d_o))
    level, shifts = call.cut_levels(lse), call.cut_levels(shift)
    cut_params, cut_data = call.cut_params(params), call.cut_data(fixed.data)

    def step(carry: list[Blocked], index: Index, masked: bool) -> list[Blocked]:
        data = [x[index] for x in cut_data]
        whole = call.rules([x[index] for x in cut_params], data)
        at, attended = call.attended(whole, index) if masked else (call.blocking.indices(index), None)

        def weigh(products: Array, params: list[Array]) -> tuple[Array, Array]:
            rules = call.rules(params, data)
            scores = pair_scores(products, rules, at, attended)
            weights = rules.normalizer.pair_weights(scores, level[index], attended)
            return weights, dropped(weights, rules)

        products = call.heads(call.dot(q[index], k_t[index], whole))
        (_, kept), pull = jax.vjp(weigh, products, [x[index] for x in cut_params])
        d_weights = call.heads(call.dot(d_o[index], v_t[index], whole))
        d_products, d_params = pull((jnp.broadcast_to(shifts[index][..., None], d_weights.shape), d_weights))
        d_products = call.rows(d_products)
        updates = (
            lambda: call.dot(d_products, k[index], whole),
            lambda: call.dot(q_t[index], d_products, whole),
            lambda: call.dot(d_o_t[index], call.rows(kept), whole),
            *(lambda d=d: d for d in d_params),
        )
        chosen = [update for update, w in zip(updates, wanted, strict=True) if w]
        return [x.add(index, update()) for x, update in zip(carry, chosen, strict=True)]

    like = [x for x, w in zip((q, k_t, v_t, *cut_params), wanted, strict=True) if w]
    start = [x.with_array(jnp.zeros_like(x.array)) for x in like]
    sums = iter(fold(step, _varying(start, residuals), fixed.visits, call.blocking, transposable))
    joins = (
        call.join_rows,
        functools.partial(call.join_keys, order=KEY_LAST),
        functools.partial(call.join_keys, order=KEY_LAST),
        *(functools.partial(call.join_param, place=i) for i in range(len(params))),
    )
    found = [joined(next(sums)) if w else None for joined, w in zip(joins, wanted, strict=True)]
    return [x for x in found if x is not None]


def tangent(
    call: _Call,
    wanted: tuple[bool, ...],
    structure: Any,
    residuals: list[Array],
    vectors: list[Array],
    transposable: bool,
) -> list[Array]:
    """The tangents of out and lse from those of the wanted floats."""
    floats, fixed, out, lse = jax.tree.unflatten(structure, residuals)
    given = iter(vectors)
    d_floats = [next(given) if w else jnp.zeros_like(x) for x, w in zip(floats, wanted, strict=True)]

    def cut_floats(query: Array, key: Array, value: Array, *params: Array) -> list[Blocked]:
        keys = call.cut_keys(key, KEY_LAST), call.cut_keys(value)
        return [call.cut_rows(query), *keys, *call.cut_params(list(params))]

    blocks, d_blocks = cut_floats(*floats), cut_floats(*d_floats)
    level, cut_data = call.cut_levels(lse), call.cut_data(fixed.data)

    def step(carry: list[Blocked], index: Index, masked: bool) -> list[Blocked]:
        data = [x[index] for x in cut_data]

        def seen(query: Array, key: Array, value: Array, *params: Array) -> tuple[Array, Array]:
            rules = call.rules(list(params), data)
            at, attended = call.attended(rules, index) if masked else (call.blocking.indices(index), None)
            scores = pair_scores(call.heads(call.dot(query, key, rules)), rules, at, attended)
            weights = rules.normalizer.pair_weights(scores, level[index], attended)
            kept = call.rows(dropped(weights, rules))
            return call.dot(kept, value, rules), call.rows(weights.sum(axis=-1))[..., None]

        _, moved = jax.jvp(seen, [x[index] for x in blocks], [x[index] for x in d_blocks])
        return [x.add(index, m) for x, m in zip(carry, moved, strict=True)]

    zero = blocks[0].with_array(jnp.zeros_like(blocks[0].array[..., :1]))
    acc = zero.with_array(zero.array + jnp.zeros(out.shape[-1], out.dtype))
    sums = fold(step, _varying([acc, zero], (residuals, vectors)), fixed.visits, call.blocking, transposable)
    d_out, d_lse = (call.join_rows(x) for x in sums)
    if not call.online:
        return [d_out, jnp.zeros_like(lse)]
    return [d_out - d_lse * out, d_lse[..., 0]]


def _varying(tree: Any, operands: Any) -> Any:
    """The arrays of a tree as varying over a `shard_map`'s axes as the operands together.

    A loop insists that its carry varies from the start as what a step adds to it.
    """
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return tree
    nothing = sum(jnp.where(False, x, 0).sum().astype(jnp.float32) for x in jax.tree.leaves(operands))
    return jax.tree.map(lambda x: x + nothing.astype(x.dtype), tree)
