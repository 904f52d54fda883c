"""Online softmax over the blocks that the mask leaves: memory grows with T + S, forward and backward,
but for the table of blocks (one number for each).

The forward pass follows FlashAttention (Dao et al., 2022). Its derivative is written once, as a tangent:

    dO_i = Σ_j w_ij (ds_ij v_j + dv_j) - dlse_i O_i,   dlse_i = Σ_j w_ij ds_ij,   w_ij = exp(s_ij - lse_i)

summed over the same blocks, with w recomputed in each. It is linear in the tangents, so JAX transposes it
into the backward pass, and made of ordinary operations, so it can be differentiated again.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from attnjax.ops.engines.problem import Problem, Result, Rules, join_heads, pair_scores, split_heads, weigh
from attnjax.ops.engines.sweep import Cut, sweep, unstack
from attnjax.ops.grid import KEY_AXIS, QUERY_AXIS, block, is_grid
from attnjax.ops.masks.algebra import classes
from attnjax.ops.masks.tiles import EMPTY, FULL, PARTIAL, Tiles
from attnjax.ops.normalizers import Softmax, finite

BLOCK_SIZES = (512, 256, 128)
BLOCK_ELEMENTS = 2**22  # B·N·block_q·block_k at most, unless the smallest block is larger.

# The T of query and out [B, K, G, T, ·], the T of lse [B, N, T], the S of key and value [B, K, S, ·].
OUT_AXIS, LSE_AXIS, KEYS_AXIS = 3, 2, 2


def tiles_of(problem: Problem, block_q: int | None = None, block_k: int | None = None) -> Tiles:
    """The blocks of a call: the largest size that fits, no longer than T and S."""
    sizes = problem.rules.sizes
    budget = BLOCK_ELEMENTS // max(1, sizes.flat_batch * sizes.heads)
    size = next((n for n in BLOCK_SIZES if n * n <= budget), BLOCK_SIZES[-1])
    return Tiles(sizes, block_q or max(1, min(size, sizes.queries)), block_k or max(1, min(size, sizes.keys)))


def kinds_of(problem: Problem, tiles: Tiles) -> Int[Array, "nq nk"] | None:
    """EMPTY, PARTIAL or FULL for each block, over all batch elements and heads; None when all are FULL."""
    sizes, mask = tiles.sizes, problem.rules.mask
    ragged_q, ragged_k = tiles.nq * tiles.block_q != sizes.queries, tiles.nk * tiles.block_k != sizes.keys
    if mask is None and not ragged_q and not ragged_k:
        return None
    if mask is None:
        kinds = jnp.full((tiles.nq, tiles.nk), FULL, jnp.int32)
    else:
        kind = classes(mask, tiles).astype(jnp.int32)
        low, high = kind.min(axis=(0, 1), initial=FULL), kind.max(axis=(0, 1), initial=EMPTY)
        kinds = jnp.where(low == FULL, FULL, jnp.where(high == EMPTY, EMPTY, PARTIAL))
    # A ragged block has pairs outside of the sequence, which are masked.
    kinds = kinds.at[-1, :].min(PARTIAL) if ragged_q else kinds
    return kinds.at[:, -1].min(PARTIAL) if ragged_k else kinds


def blocks(problem: Problem) -> tuple[Tiles, Array | None]:
    """The blocks of a call and their kinds, as `run` will use them."""
    tiles = tiles_of(problem)
    return tiles, kinds_of(problem, tiles)


def run(problem: Problem, block_q: int | None = None, block_k: int | None = None) -> Result:
    """The attention of the problem, block by block."""
    operands = (*split_heads(problem), problem.rules)
    tiles = tiles_of(problem, block_q, block_k)
    leaves, structure = jax.tree.flatten(operands)
    call = _Call(structure, tuple(_cuts(operands)), tuple(_differentiable(x) for x in leaves), tiles)
    out, lse = _attend(call, *call.parted(leaves), kinds_of(problem, tiles))
    return Result(join_heads(out), lse if problem.rules.normalizer.route == "online" else None)


class _Call:
    """The static part of a call: how a flat list of operands is put together and cut.

    Only floating-point operands have tangents; the others (ids, lengths, random words) go beside them.
    """

    def __init__(self, structure: Any, cuts: tuple[Cut, ...], differentiable: tuple[bool, ...], tiles: Tiles):
        self.structure, self.cuts, self.differentiable, self.tiles = structure, cuts, differentiable, tiles

    def parted(self, leaves: list[Any]) -> tuple[list[Any], list[Any]]:
        """(differentiable leaves, the others)."""
        marked = list(zip(self.differentiable, leaves, strict=True))
        return [x for d, x in marked if d], [x for d, x in marked if not d]

    def joined(self, floats: list[Any], others: list[Any]) -> tuple[Array, Array, Array, Rules]:
        """Query, key, value and rules from the two lists that `parted` gives."""
        pools = {True: iter(floats), False: iter(others)}
        return jax.tree.unflatten(self.structure, [next(pools[d]) for d in self.differentiable])


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _attend(call: _Call, floats: list[Any], others: list[Any], kinds: Array | None) -> tuple[Array, Array]:
    """out [B, K, G, T, V] and lse [B, N, T] (zeros where the normaliser has none)."""
    float_cuts, other_cuts = call.parted(list(call.cuts))
    count = len(floats)

    def start(operands: list[Any]) -> tuple[Array, Array, Array]:
        return _row_start(*call.joined(operands[:count], operands[count:]), operands)

    def step(carry: Any, operands: list[Any], q_index: Array, k_index: Array, masked: bool) -> Any:
        query, key, value, rules = call.joined(operands[:count], operands[count:])
        scores, attended = _block_scores(query, key, rules, q_index, k_index, masked)
        highest, total, acc = carry
        if isinstance(rules.normalizer, Softmax):
            new = jnp.maximum(highest, scores.max(axis=-1))
            decay = jnp.where(jnp.isneginf(highest), 0, jnp.exp(highest - finite(new)))
        else:
            new, decay = highest, jnp.ones_like(highest)
        weights = rules.normalizer.pair_weights(scores, new, attended)
        grouped = decay.reshape(acc.shape[:-1])[..., None]
        return (
            new,
            total * decay + weights.sum(axis=-1),
            acc * grouped + weigh(weights, value, rules, attended),
        )

    highest, total, acc = sweep(
        call.tiles,
        kinds,
        [*floats, *others],
        [*float_cuts, *other_cuts],
        start=start,
        step=step,
        recompute=False,
    )
    length = call.tiles.sizes.queries
    highest, total = (unstack(x, LSE_AXIS, length) for x in (highest, total))
    acc = unstack(acc, OUT_AXIS, length)
    normalizer = call.joined(floats, others)[3].normalizer
    if not isinstance(normalizer, Softmax):
        return acc, jnp.zeros_like(total)
    lse = normalizer.log_sum_exp(highest, total)
    return acc * jnp.exp(finite(highest) - finite(lse)).reshape(acc.shape[:-1])[..., None], lse


@_attend.defjvp
def _attend_jvp(call: _Call, primals: Any, tangents: Any) -> Any:
    floats, others, kinds = primals
    d_floats = tangents[0]
    out, lse = _attend(call, floats, others, kinds)
    float_cuts, other_cuts = call.parted(list(call.cuts))
    count = len(floats)

    def start(operands: list[Any]) -> tuple[Array, Array]:
        row = call.joined(operands[:count], operands[2 * count : -1])
        _, total, acc = _row_start(*row, operands)
        return acc, total

    def step(carry: Any, operands: list[Any], q_index: Array, k_index: Array, masked: bool) -> Any:
        lse = operands[-1]

        def part(floats: list[Any]) -> tuple[Array, Array]:
            query, key, value, rules = call.joined(floats, operands[2 * count : -1])
            scores, attended = _block_scores(query, key, rules, q_index, k_index, masked)
            weights = rules.normalizer.pair_weights(scores, lse, attended)
            return weigh(weights, value, rules, attended), weights.sum(axis=-1)

        _, (d_acc, d_total) = jax.jvp(part, (operands[:count],), (operands[count : 2 * count],))
        return carry[0] + d_acc, carry[1] + d_total

    d_acc, d_total = sweep(
        call.tiles,
        kinds,
        [*floats, *d_floats, *others, lse],
        [*float_cuts, *float_cuts, *other_cuts, Cut(queries=LSE_AXIS)],
        start=start,
        step=step,
        recompute=True,
    )
    length = call.tiles.sizes.queries
    d_acc, d_total = unstack(d_acc, OUT_AXIS, length), unstack(d_total, LSE_AXIS, length)
    normalizer = call.joined(floats, others)[3].normalizer
    if not isinstance(normalizer, Softmax):
        return (out, lse), (d_acc, jnp.zeros_like(lse))
    if normalizer.sink is not None:
        d_sink = _sink(call.joined(d_floats, others)[3])
        share = jnp.where(jnp.isneginf(lse), 0, jnp.exp(normalizer.sink[:, None] - finite(lse)))
        d_total = d_total + share * d_sink[:, None]
    return (out, lse), (d_acc - d_total.reshape(out.shape[:-1])[..., None] * out, d_total)


def _sink(rules: Rules) -> Array:
    assert isinstance(rules.normalizer, Softmax)
    return rules.normalizer.sink


def _block_scores(
    query: Array, key: Array, rules: Rules, q_index: Array, k_index: Array, masked: bool
) -> tuple[Array, Array | None]:
    """The scores of one block and which pairs attend (None = all)."""
    at = block(rules.sizes, q_index, k_index)
    if not masked:
        return pair_scores(query, key, rules, at, None), None
    attended = (at.q < rules.sizes.queries) & (at.k < rules.sizes.keys)
    if rules.mask is not None:
        attended = attended & rules.mask.evaluate(at)
    return pair_scores(query, key, rules, at, attended), attended


def _row_start(
    query: Array, key: Array, value: Array, rules: Rules, operands: list[Any]
) -> tuple[Array, Array, Array]:
    """A row of blocks before its first key: maximum -inf, sum 0, accumulator 0.

    Made from the operands, so that under `shard_map` and explicit sharding the loop's carry has from the
    start the type that it has after a step: sharded as the query, varying over what any operand varies over.
    """
    nothing = sum(jnp.where(False, x, 0).sum().astype(query.dtype) for x in operands)
    zero = jnp.where(False, query[..., 0], 0) + nothing
    acc = zero[..., None] + jnp.zeros(value.shape[-1], value.dtype)
    total = zero.reshape(zero.shape[0], -1, zero.shape[-1])
    return total - jnp.inf, total, acc


def _cuts(operands: tuple[Array, Array, Array, Rules]) -> list[Cut]:
    """The cut of every leaf: Grids along the axes that they do not broadcast over."""
    cuts = [Cut(queries=OUT_AXIS), Cut(keys=KEYS_AXIS), Cut(keys=KEYS_AXIS)]
    for node in jax.tree.leaves(operands[3], is_leaf=is_grid):
        if is_grid(node):
            shape = node.array.shape
            cuts.append(Cut(*(a if shape[a] != 1 else None for a in (QUERY_AXIS, KEY_AXIS))))
        else:
            cuts.append(Cut())
    return cuts


def _differentiable(x: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jnp.inexact)
