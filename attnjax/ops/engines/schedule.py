"""The blocks that a call visits: lists of them by kind, and the loops over these lists."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from attnjax.ops.core.node import known, library, traced
from attnjax.ops.core.pairs import fixed
from attnjax.ops.engines.blocking import Blocking, Index
from attnjax.ops.masks.base import And, Mask, classes
from attnjax.ops.masks.block_maps import Blocks
from attnjax.ops.masks.content import Lengths, Segments
from attnjax.ops.masks.intervals import Interval
from attnjax.ops.masks.positional import Positional
from attnjax.ops.masks.repeating import block_diagonal
from attnjax.ops.masks.tiles import EMPTY, FULL, PARTIAL, Tiles

PACKED, ON = 512, 0.25
# Products that a turn of a loop over rows of one block takes: XLA on CPU runs one small product on one core,
# but those of several heads or rows at once.
SIDE_BY_SIDE = 4
# Masks whose arrays are data that differ from call to call, not structure.
DATA = (Interval, Lengths, Segments, Positional)

Step = Callable[[Any, Index, bool], Any]
Row = Callable[[Any, Index, Callable[[Step, Any], Any]], Any]


class Listed(NamedTuple):
    """Blocks of one kind, row by row: those of row i are columns[b, h, starts[b, h, i]:starts[b, h, i + 1]].

    b and h are 1 where all blocks of batch elements or of heads share a list.
    """

    columns: Int[Array, "b h most"]
    starts: Int[Array, "b h nq+1"]


class Schedule(NamedTuple):
    """The blocks to visit, FULL ones and PARTIAL ones apart: no empty block costs anything."""

    full: Listed
    partial: Listed


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Spans:
    """For each row the first tile of the one block to visit. `masked`: unless no pair at all is masked."""

    first: Int[Array, "b h nq"]
    masked: bool = dataclasses.field(metadata={"static": True})


def tile_kinds(mask: Mask | None, tiles: Tiles) -> Any:
    """EMPTY, PARTIAL or FULL for each tile, [B|1, N|1, nq, nk].

    A NumPy array, known while tracing, unless the mask holds tracers.
    """
    if traced(mask):
        return _kinds(mask, tiles)
    mask = jax.tree.map(_on_host, mask)
    found = _kinds(mask, tiles)
    # A mask of a user's own may compute its bounds by jax.numpy.
    return found if isinstance(found, np.ndarray) else known(lambda: _kinds(mask, tiles))


def _on_host(x: Any) -> Any:
    return x if jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended) else jax.device_get(x)


def likely(mask: Mask | None, packed: int | None = PACKED) -> Mask | None:
    """A guess at a mask, known while tracing, to choose blocks by; the mask itself if it can be.

    Of what is traced, and of lengths and ids, for whose every value a program would be compiled anew, packed
    documents and intervals are taken to be `packed` tokens long, a share `ON` of a map's blocks to be on, and
    all else to leave everything: with packed=None a bound, which leaves whatever the mask leaves.
    """
    if not traced(mask) and not _holds_data(mask):
        return mask
    if isinstance(mask, And):
        parts = [part for part in (likely(x, packed) for x in (mask.left, mask.right)) if part is not None]
        return parts[0] & parts[1] if len(parts) == 2 else next(iter(parts), None)
    return _typical(mask, packed) if packed else None


def _typical(mask: Mask | None, packed: int) -> Mask | None:
    if isinstance(mask, (Segments, Interval)):
        return block_diagonal(packed)
    if isinstance(mask, Blocks):
        shape = [n if fixed(n) else 1 for n in mask.array.shape]
        on = np.random.default_rng(0).random(shape) < ON
        return Blocks(on, mask.size_q, mask.size_k)
    return None


def _holds_data(mask: Mask | None) -> bool:
    nodes = jax.tree.leaves(mask, is_leaf=lambda x: isinstance(x, DATA))
    return any(isinstance(x, DATA) and jax.tree.leaves(x) for x in nodes)


def _kinds(mask: Mask | None, tiles: Tiles) -> Any:
    table = (1, 1, tiles.nq, tiles.nk)
    found = np.full(table, FULL, np.int8) if mask is None else classes(mask, tiles)
    # A ragged block has pairs outside of the sequence, which are masked.
    ragged = np.zeros(table, bool)
    ragged[..., -1, :] |= tiles.nq * tiles.block_q != tiles.sizes.queries
    ragged[..., -1] |= tiles.nk * tiles.block_k != tiles.sizes.keys
    xp = library(found)
    return xp.where(ragged, xp.minimum(found, PARTIAL), found)


def make_schedule(found: Any, blocking: Blocking) -> Schedule | Spans:
    """The lists for the kinds of tiles; of single blocks, where each begins."""
    found = grouped(found, blocking)
    if blocking.single:
        first = (found != EMPTY).argmax(-1)
        masked = not (isinstance(found, np.ndarray) and bool((found == FULL).all()))
        return Spans(first.clip(0, blocking.tiles.nk - blocking.span).astype(np.int32), masked)
    return Schedule(_list(found == FULL), _list(found == PARTIAL))


def reach(mask: Mask | None, tiles: Tiles) -> int:
    """`widest` of the tiles that a mask could leave, as far as is known while tracing."""
    return widest(np.asarray(tile_kinds(likely(mask, packed=None), tiles)))


def widest(found: np.ndarray) -> int:
    """Returns the most tiles from the first of a row that is not empty to the last such one; at least 1."""
    some = found != EMPTY
    ends = some.shape[-1] - some[..., ::-1].argmax(-1)
    return int(np.where(some.any(-1), ends - some.argmax(-1), 0).max(initial=1))


def covered(found: np.ndarray, blocking: Blocking) -> np.ndarray:
    """The kinds of tiles by how they are computed: all those of a single block as one."""
    spans = make_schedule(found, blocking)
    if not isinstance(spans, Spans):
        return found
    past = np.arange(found.shape[3]) - np.asarray(spans.first)[..., None]
    kind = PARTIAL if spans.masked else FULL
    return np.where((past >= 0) & (past < blocking.span), kind, EMPTY).astype(found.dtype)


def grouped(found: Any, blocking: Blocking) -> Any:
    """The kinds of blocks of several batch elements and heads: each as full as its least full tile."""
    np_ = library(found)
    for axis in (0, 1):
        if found.shape[axis] not in (0, 1):
            count = blocking.counts[axis]
            parts = found.reshape(*found.shape[:axis], count, -1, *found.shape[axis + 1 :])
            low, high = parts.min(axis + 1), parts.max(axis + 1)
            found = np_.where(low == high, low, np_.where(high == EMPTY, EMPTY, PARTIAL))
    return found


def _list(chosen: Any) -> Listed:
    np_ = library(chosen)
    outer, nk = chosen.shape[:2], chosen.shape[3]
    ends = np_.cumsum(chosen.sum(-1), axis=-1).astype(np.int32)
    starts = np_.concatenate([np_.zeros((*outer, 1), np.int32), ends], axis=-1)
    order = np_.argsort(~chosen.reshape(*outer, -1), axis=-1, stable=True).astype(np.int32)
    if np_ is np:
        order = order[..., : ends[..., -1].max(initial=0)]
    return Listed(order % nk, starts)


def fold_rows(
    row: Row,
    carry: Any,
    todo: Schedule | Spans,
    blocking: Blocking,
    *,
    transposable: bool,
    independent: bool,
) -> Any:
    """`row(carry, index, visit)` over every row of blocks; `visit(step, state)` folds over the row's blocks.

    `step(state, index, masked)`: masked=False for a block without a masked pair. What a row gathers is small
    and local, so that the loop over its blocks copies nothing; rows of one block have no such loop, and are
    computed several at once if they are `independent`: if none reads of the carry what another one writes,
    which XLA would copy as a whole. The loops take as many turns as there are blocks to visit; with
    `transposable` they take as many as there could be, because JAX can only transpose such ones, and keep no
    block for the derivative.
    """
    batches, groups, rows, most = blocking.counts

    def one_row(turn: Array, carry: Any) -> Any:
        outer, i = jnp.divmod(turn, rows)
        batch, heads = jnp.divmod(outer, groups)

        def visit(step: Step, state: Any) -> Any:
            if isinstance(todo, Spans):
                here = Index(batch, heads, i, 0)
                return step(state, here._replace(keys=_of(todo.first, here)[i]), todo.masked)
            for listed, masked in ((todo.full, False), (todo.partial, True)):
                if listed.columns.shape[2]:
                    state = _visit(step, state, listed, Index(batch, heads, i, 0), masked)
            return state

        return row(carry, Index(batch, heads, i, 0), visit)

    def _visit(step: Step, state: Any, listed: Listed, here: Index, masked: bool) -> Any:
        columns, starts = _of(listed.columns, here), _of(listed.starts, here)
        first = starts[here.queries]

        def turn(t: Array, state: Any) -> Any:
            return step(state, here._replace(keys=columns[first + t]), masked)

        return repeat(turn, state, starts[here.queries + 1] - first, most, transposable)

    turns = batches * groups * rows
    if isinstance(todo, Spans) and independent and not transposable:
        rows_at_once = min(turns, -(-SIDE_BY_SIDE // (blocking.batch * blocking.groups)))
        return jax.lax.fori_loop(0, turns, one_row, carry, unroll=rows_at_once)
    return repeat(one_row, carry, turns, turns, transposable)


def _of(x: Any, here: Index) -> Array:
    """Of an array [B|1, N|1, ...] the part for the blocks of batch elements and heads."""
    return jnp.asarray(x)[tuple(0 if n == 1 else i for i, n in zip(here[:2], x.shape, strict=False))]


def repeat(body: Callable[[Array, Any], Any], carry: Any, count: Any, most: int, transposable: bool) -> Any:
    """`body(i, carry)` for i below count; with `transposable` by a loop of `most` turns."""
    if not transposable:
        return jax.lax.fori_loop(0, count, body, carry)

    def turn(carry: Any, i: Array) -> tuple[Any, None]:
        return jax.lax.cond(i < count, body, lambda _, carry: carry, i, carry), None

    return jax.lax.scan(jax.checkpoint(turn, prevent_cse=False), carry, jnp.arange(most))[0]
