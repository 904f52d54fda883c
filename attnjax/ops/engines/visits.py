"""Which blocks a call visits: lists of them by kind, and the loops over these lists."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from attnjax.ops.engines.blocks import Blocking, Index
from attnjax.ops.masks.algebra import Mask, classes
from attnjax.ops.masks.tiles import EMPTY, FULL, PARTIAL, Tiles

Step = Callable[[Any, Index, bool], Any]
Row = Callable[[Any, Index, Callable[[Step, Any], Any]], Any]


class Listed(NamedTuple):
    """Blocks of one kind, row by row: `pairs` [b, h, most, 2] holds their query and key index.

    Those of row i lie from starts[b, h, i] to starts[b, h, i + 1]; b and h are 1 where all blocks of batch
    elements or of heads share a list.
    """

    pairs: Int[Array, "b h most 2"]
    starts: Int[Array, "b h nq+1"]


class Visits(NamedTuple):
    """The blocks to visit, FULL ones and PARTIAL ones apart: no empty block costs anything."""

    full: Listed
    partial: Listed


def kinds(mask: Mask | None, tiles: Tiles) -> Any:
    """EMPTY, PARTIAL or FULL for each tile, [B|1, N|1, nq, nk].

    A NumPy array, known while tracing, unless the mask holds tracers.
    """
    traced = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(mask))
    if traced:
        return _kinds(mask, tiles)
    with jax.ensure_compile_time_eval():
        found = _kinds(mask, tiles)
    # A predicate may close over a tracer that is no leaf of it.
    return found if isinstance(found, jax.core.Tracer) else np.asarray(found)


def _kinds(mask: Mask | None, tiles: Tiles) -> Array:
    if mask is None:
        found = jnp.full((1, 1, tiles.nq, tiles.nk), FULL, jnp.int8)
    else:
        found = classes(mask, tiles)
    # A ragged block has pairs outside of the sequence, which are masked.
    if tiles.nq * tiles.block_q != tiles.sizes.queries:
        found = found.at[..., -1, :].min(PARTIAL)
    if tiles.nk * tiles.block_k != tiles.sizes.keys:
        found = found.at[..., -1].min(PARTIAL)
    return found


def visits(found: Any, blocking: Blocking) -> Visits:
    """The lists for the kinds of tiles."""
    found = grouped(found, blocking)
    return Visits(_list(found == FULL), _list(found == PARTIAL))


def grouped(found: Any, blocking: Blocking) -> Any:
    """The kinds of blocks of several batch elements and heads: each as full as its least full tile."""
    np_ = np if isinstance(found, np.ndarray) else jnp
    for axis in (0, 1):
        if found.shape[axis] > 1:
            count = blocking.counts[axis]
            parts = found.reshape(*found.shape[:axis], count, -1, *found.shape[axis + 1 :])
            low, high = parts.min(axis + 1), parts.max(axis + 1)
            found = np_.where(low == high, low, np_.where(high == EMPTY, EMPTY, PARTIAL))
    return found


def _list(chosen: Any) -> Listed:
    np_ = np if isinstance(chosen, np.ndarray) else jnp
    outer, nk = chosen.shape[:2], chosen.shape[3]
    ends = np_.cumsum(chosen.sum(-1), axis=-1).astype(np.int32)
    starts = np_.concatenate([np_.zeros((*outer, 1), np.int32), ends], axis=-1)
    order = np_.argsort(~chosen.reshape(*outer, -1), axis=-1, stable=True).astype(np.int32)
    if np_ is np:
        order = order[..., : ends[..., -1].max(initial=0)]
    return Listed(np_.stack(np_.divmod(order, nk), axis=-1), starts)


def fold(step: Step, carry: Any, todo: Visits, blocking: Blocking, transposable: bool) -> Any:
    """`step(carry, index, masked)` over every block: masked=False on those without a masked pair.

    The loops take as many turns as there are blocks. With `transposable` they take as many as there could
    be, because JAX can only transpose such ones, and keep no block for the derivative.
    """

    def outer(carry: Any, batch: Array, heads: Array) -> Any:
        for listed, masked in ((todo.full, False), (todo.partial, True)):
            if most := listed.pairs.shape[2]:
                pairs, starts = _own(listed, batch, heads)

                def visit(turn: Array, carry: Any, pairs: Array = pairs, masked: bool = masked) -> Any:
                    return step(carry, _index(pairs, turn, batch, heads), masked)

                carry = _repeat(visit, carry, starts[-1], most, transposable)
        return carry

    return _each_outer(outer, carry, blocking, transposable)


def fold_rows(row: Row, carry: Any, todo: Visits, blocking: Blocking) -> Any:
    """`row(carry, index, visit)` over every row of blocks; `visit(step, state)` folds over the row's blocks.

    What a row gathers is small and local, so that the loop over its blocks copies nothing.
    """

    def outer(carry: Any, batch: Array, heads: Array) -> Any:
        lists = [(*_own(x, batch, heads), masked) for x, masked in ((todo.full, False), (todo.partial, True))]

        def one_row(i: Array, carry: Any) -> Any:
            def visit(step: Step, state: Any) -> Any:
                for pairs, starts, masked in lists:
                    if pairs.shape[0]:

                        def turn(t: Array, state: Any, pairs: Array = pairs, masked: bool = masked) -> Any:
                            return step(state, _index(pairs, t, batch, heads), masked)

                        state = jax.lax.fori_loop(starts[i], starts[i + 1], turn, state)
                return state

            return row(carry, Index(batch, heads, i, 0), visit)

        return jax.lax.fori_loop(0, blocking.tiles.nq, one_row, carry)

    return _each_outer(outer, carry, blocking, False)


def _own(listed: Listed, batch: Array, heads: Array) -> tuple[Array, Array]:
    """The list of one block of batch elements and heads."""
    shape = listed.pairs.shape
    own = (batch if shape[0] > 1 else 0, heads if shape[1] > 1 else 0)
    return jnp.asarray(listed.pairs)[own], jnp.asarray(listed.starts)[own]


def _index(pairs: Array, turn: Array, batch: Array, heads: Array) -> Index:
    pair = jax.lax.dynamic_index_in_dim(pairs, turn, 0, keepdims=False)
    return Index(batch, heads, pair[0], pair[1])


def _each_outer(outer: Any, carry: Any, blocking: Blocking, transposable: bool) -> Any:
    """`outer(carry, batch, heads)` over the blocks of batch elements and heads."""
    batches, groups = blocking.counts[:2]
    if batches * groups == 1:
        return outer(carry, 0, 0)

    def turn(place: Array, carry: Any) -> Any:
        return outer(carry, *jnp.divmod(place, groups))

    return _repeat(turn, carry, batches * groups, batches * groups, transposable)


def _repeat(body: Callable[[Array, Any], Any], carry: Any, count: Any, most: int, transposable: bool) -> Any:
    if not transposable:
        return jax.lax.fori_loop(0, count, body, carry)

    def turn(carry: Any, i: Array) -> tuple[Any, None]:
        return jax.lax.cond(i < count, body, lambda _, carry: carry, i, carry), None

    return jax.lax.scan(jax.checkpoint(turn, prevent_cse=False), carry, jnp.arange(most))[0]
