"""Ring attention: keys and values go round, and each device joins what its queries make of them.

Forward, the online softmax of the blockwise engine joins hops as it joins blocks. Backward, each hop needs no
more of the others than a row's highest score and sum: keys and values go round again, and what they get of
the queries' cotangents goes with them. So a device keeps no keys but its own.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from attnjax.ops.context.hops import fold_hops
from attnjax.ops.context.layout import ShardLayout
from attnjax.ops.context.located import located, relabelled
from attnjax.ops.core.node import varying
from attnjax.ops.engines import blockwise
from attnjax.ops.engines.blockwise_derivatives import attend_jvp, inverse
from attnjax.ops.engines.blockwise_derivatives import backward as backward_of_hop
from attnjax.ops.engines.blockwise_derivatives import tangent as tangent_of_hop
from attnjax.ops.engines.call import AttentionCall, Result, Semantics, nonfinite_of
from attnjax.ops.engines.cutting import Arrays, Cutting
from attnjax.ops.engines.schedule import likely, make_schedule, tile_kinds
from attnjax.ops.engines.tuning import cheapest
from attnjax.ops.masks.base import Mask
from attnjax.ops.normalizers import Softmax


class Hop(NamedTuple):
    """The call of a hop, cut into blocks as all of them are."""

    cutting: Cutting
    floats: list[Array]
    fixed: blockwise.Fixed


class Ring(Arrays):
    """The static part of a call: its rules for whole sequences of keys, and the hops that are taken."""

    def __init__(self, rules: Semantics, dtype: Any, layout: ShardLayout, hops: tuple[int, ...]) -> None:
        super().__init__(rules, dtype)
        self.layout, self.hops = layout, hops
        self.keys, self.queries = rules.sizes.keys, rules.sizes.queries

    def located(self, params: list[Array], data: list[Array], hop: Any) -> Semantics:
        """Returns the rules for the queries of this device and the keys that it holds in a hop."""
        device, layout = jax.lax.axis_index(self.layout.axis), self.layout
        queries = layout.positions(device, self.queries)
        keys = layout.positions((device - hop) % layout.shards, self.keys)
        return located(self.rules(params, data), queries, keys)

    def typical(self, rules: Semantics) -> Mask | None:
        """Returns what is known of the mask at the first device's own keys, to choose blocks by."""
        known, first = likely(rules.mask), self.layout.chunks[0]
        if known is None:
            return None

        def places(length: int) -> np.ndarray:
            size = length // self.layout.chunks.size
            return (first[:, None] * np.int32(size) + np.arange(size, dtype=np.int32)).reshape(-1)

        return relabelled(known, places(self.queries), places(self.keys))

    def params_of(self, params: list[Array], data: list[Array], hop: Any) -> list[Array]:
        """Returns what `located` makes of the parameters, which is linear in them."""
        rules = self.located(params, data, hop)
        leaves = jax.tree.leaves(rules)
        return Arrays(rules, self.dtype).params(leaves)

    def hop(self, floats: list[Array], data: list[Array], hop: Any) -> Hop:
        """Returns the call of the queries with the keys and values held in a hop."""
        query, key, value, scale, *params = floats
        rules = self.located(params, data, hop)
        call = AttentionCall(query, key, value, scale, rules)
        blocking, _ = cheapest(call, self.typical(self.rules(params, data)))
        cutting, leaves = Cutting(rules, blocking, self.dtype), jax.tree.leaves(rules)
        fixed = blockwise.Fixed(
            cutting.data(leaves),
            nonfinite_of(call),
            make_schedule(tile_kinds(rules.mask, blocking.tiles), blocking),
        )
        own = [query, key, value, scale, *cutting.params(leaves)]
        return Hop(cutting, varying(own, (own, fixed)), fixed)

    def meets(self, table: Bool[Array, "n n"], hop: Any) -> Array:
        """Returns whether the mask may leave a pair of a hop on this device."""
        device = jax.lax.axis_index(self.layout.axis)
        return table[device, (device - hop) % self.layout.shards]


class RingData(NamedTuple):
    """Operands without a derivative: ids, lengths, random words; which devices' tokens meet."""

    data: list[Array]
    table: Bool[Array, "n n"]


class RowSums(NamedTuple):
    """Sums over the keys that met a query: values times exponentials, the highest score, exponentials."""

    acc: Array
    highest: Array
    total: Array


def run(call: AttentionCall, layout: ShardLayout, hops: tuple[int, ...], table: Any) -> Result:
    """Computes a call of this device's tokens; its rules hold its queries, and all keys."""
    normalizer, rules = call.rules.normalizer, call.rules
    if isinstance(normalizer, Softmax):  # A sink is one score of a row, not one of each hop.
        rules = dataclasses.replace(rules, normalizer=Softmax(None))
    ring, leaves = Ring(rules, call.dtype, layout, hops), jax.tree.leaves(rules)
    floats = [call.query, call.key, call.value, call.scale, *ring.params(leaves)]
    fixed = RingData(ring.data(leaves), jnp.asarray(table))
    here = jax.lax.axis_index(layout.axis)
    out, highest, total = attend(ring, varying(floats, (floats, fixed, here)), fixed)
    if not isinstance(normalizer, Softmax):
        return Result(out, None)
    return blockwise.result(normalizer, out, highest, total)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def attend(ring: Ring, floats: list[Array], fixed: RingData) -> tuple[Array, Array, Array]:
    """Returns out [B, T, N, V], and of each row [B, T, N] the highest score and the sum of exponentials."""
    query, key, value, scale, *params = floats

    def turn(rows: RowSums, going: Any, hop: Any) -> tuple[RowSums, Any]:
        (key, value), moved = going

        def meet(rows: RowSums) -> RowSums:
            part = ring.hop([query, key, value, scale, *params], fixed.data, hop)
            out, highest, total = blockwise.attend(*part)
            if not ring.online:
                return rows._replace(acc=rows.acc + out)
            return _join(rows, RowSums(out * total[..., None], highest, total))

        return _if_met(ring, fixed, hop, meet, rows), moved

    level = jnp.zeros(query.shape[:-1], ring.dtype)
    acc = jnp.zeros((*query.shape[:-1], value.shape[-1]), ring.dtype)
    rows = varying(RowSums(acc, level, level), (floats, fixed, jax.lax.axis_index(ring.layout.axis)))
    rows, _ = fold_hops(turn, rows, (key, value), (), ring.hops, ring.layout)
    out = rows.acc * inverse(rows.total)[..., None] if ring.online else rows.acc
    return out, rows.highest, rows.total


def _if_met(ring: Ring, fixed: RingData, hop: Any, meet: Any, state: Any) -> Any:
    """Returns meet(state) on the devices where a pair of the hop may be attended, elsewhere the state."""
    return jax.lax.cond(ring.meets(fixed.table, hop), meet, lambda state: state, state)


def _join(one: RowSums, other: RowSums) -> RowSums:
    """Returns what queries have seen of both; of a sum of 0 the highest score means nothing."""
    highest = jnp.maximum(one.highest, other.highest)
    highest = jnp.where(one.total == 0, other.highest, jnp.where(other.total == 0, one.highest, highest))
    a, b = (jnp.where(x.total == 0, 0, jnp.exp(x.highest - highest)) for x in (one, other))
    acc = one.acc * a[..., None] + other.acc * b[..., None]
    return RowSums(acc, highest, one.total * a + other.total * b)


def _tangent(
    ring: Ring,
    wanted: tuple[bool, ...],
    structure: Any,
    residuals: list[Array],
    vectors: list[Array],
    transposable: bool,
) -> list[Array]:
    """Returns the tangents of out and of the log-sum-exp: sums over the hops."""
    floats, fixed, *rows = jax.tree.unflatten(structure, residuals)
    given = iter(vectors)
    d_floats = [next(given) if w else jnp.zeros_like(x) for x, w in zip(floats, wanted, strict=True)]
    d_floats = varying(d_floats, (residuals, vectors))
    (query, key, value, scale, *params), (d_query, d_key, d_value, d_scale, *d_params) = floats, d_floats

    def turn(sums: list[Array], going: Any, hop: Any) -> tuple[list[Array], Any]:
        ((key, value), (d_key, d_value)), moved = going

        def meet(sums: list[Array]) -> list[Array]:
            part = ring.hop([query, key, value, scale, *params], fixed.data, hop)
            _, own = jax.jvp(lambda *p: ring.params_of(list(p), fixed.data, hop), params, d_params)
            leaves, tree = jax.tree.flatten((part.floats, part.fixed, *rows))
            every, moves = (True,) * len(part.floats), [d_query, d_key, d_value, d_scale, *own]
            moves = varying(moves, (leaves, moves))
            found = tangent_of_hop(part.cutting, every, tree, leaves, moves, transposable)
            return [x + y for x, y in zip(sums, found, strict=True)]

        return _if_met(ring, fixed, hop, meet, sums), moved

    sums = varying([jnp.zeros_like(rows[0]), jnp.zeros_like(rows[2])], (residuals, vectors))
    sums, _ = fold_hops(turn, sums, ((key, value), (d_key, d_value)), (), ring.hops, ring.layout)
    return sums


def _backward(
    ring: Ring,
    wanted: tuple[bool, ...],
    structure: Any,
    residuals: list[Array],
    cotangents: list[Array],
    transposable: bool,
) -> list[Array]:
    """Returns the cotangents of the wanted floats; those of keys and values go round with them."""
    floats, fixed, *rows = jax.tree.unflatten(structure, residuals)
    query, key, value, scale, *params = floats

    def turn(sums: Any, going: Any, hop: Any) -> tuple[Any, Any]:
        (key, value), gathered = going

        def meet(state: Any) -> Any:
            (d_query, d_scale, d_params), (d_key, d_value) = state
            part = ring.hop([query, key, value, scale, *params], fixed.data, hop)
            leaves, tree = jax.tree.flatten((part.floats, part.fixed, *rows))
            every = (True,) * len(part.floats)
            found = backward_of_hop(part.cutting, every, tree, leaves, cotangents, transposable)
            _, pull = jax.vjp(lambda p: ring.params_of(p, fixed.data, hop), params)
            (moved,) = pull(found[4:])
            d_params = [x + y for x, y in zip(d_params, moved, strict=True)]
            d_own = (d_query + found[0], d_scale + found[3], d_params)
            return d_own, (d_key + found[1], d_value + found[2])

        return _if_met(ring, fixed, hop, meet, (sums, gathered))

    zeros = [jnp.zeros_like(x, ring.dtype) for x in (query, key, value, scale)]
    start = (zeros[0], zeros[3], [jnp.zeros_like(x) for x in params]), (zeros[1], zeros[2])
    sums, gathered = varying(start, (residuals, cotangents))
    (d_query, d_scale, d_params), (d_key, d_value) = fold_hops(
        turn, sums, (key, value), gathered, ring.hops, ring.layout
    )
    found = [d_query, d_key, d_value, d_scale, *d_params]
    return [d.astype(x.dtype) for d, x, w in zip(found, floats, wanted, strict=True) if w]


attend.defjvp(functools.partial(attend_jvp, attend, _tangent, _backward), symbolic_zeros=True)
