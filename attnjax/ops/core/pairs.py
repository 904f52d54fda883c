"""The grid of query-key pairs [B, N, T, S]: its sizes, blocks of it, and arrays laid over it.

B is the product of the batch axes, row-major. Whatever is evaluated on pairs (masks, scores, dropout) is
evaluated on a `Block`, so that no engine has to build T×S.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import InconclusiveDimensionOperation
from jaxtyping import Array, Int

from attnjax.ops.core.node import library

QUERY_AXIS, KEY_AXIS = 2, 3
_INT32 = np.iinfo(np.int32).min, np.iinfo(np.int32).max


def fixed(*sizes: Any) -> bool:
    """Returns whether sizes are numbers; `jax.export` has symbols too, known to be at least 1."""
    return all(isinstance(n, (int, np.integer)) for n in sizes)


def surely(holds: Callable[[], Any]) -> bool:
    """Returns whether a comparison of sizes holds, whatever the symbols among them stand for."""
    try:
        return bool(holds())
    except InconclusiveDimensionOperation:
        return False


class Sizes(NamedTuple):
    """The sizes of one call: the batch axes *B, query heads N, query length T, key length S."""

    batch: tuple[int, ...]
    heads: int
    queries: int
    keys: int

    @property
    def pairs(self) -> tuple[int, ...]:
        """The shape [*B, N, T, S]."""
        return (*self.batch, self.heads, self.queries, self.keys)

    @property
    def flat_batch(self) -> int:
        """The number of batch elements."""
        return math.prod(self.batch)


class Block(NamedTuple):
    """The indices of a block of pairs, shaped so that they broadcast to it."""

    b: Int[Array, "B 1 1 1"]
    h: Int[Array, "1 N 1 1"]
    q: Int[Array, "1 1 t 1"]
    k: Int[Array, "1 1 1 s"]


def block(sizes: Sizes, q_index: Array, k_index: Array) -> Block:
    """Returns the block of all batch elements and heads, queries `q_index` [t] and keys `k_index` [s]."""
    b, h = jnp.arange(sizes.flat_batch), jnp.arange(sizes.heads)
    return Block(
        b.astype(jnp.int32)[:, None, None, None],
        h.astype(jnp.int32)[None, :, None, None],
        jnp.asarray(q_index, jnp.int32)[None, None, :, None],
        jnp.asarray(k_index, jnp.int32)[None, None, None, :],
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Grid:
    """An array [B|1, N|1, T|1, S|1] laid over the pairs; engines cut it together with the block."""

    array: Any


def is_grid(x: Any) -> bool:
    """Returns whether x is a Grid, as `jax.tree` asks for leaves."""
    return isinstance(x, Grid)


def map_grids(fn: Callable[[Any], Any], tree: Any) -> Any:
    """Returns the tree with `fn` applied to the array of every Grid; other leaves stay."""
    return jax.tree.map(lambda x: Grid(fn(x.array)) if is_grid(x) else x, tree, is_leaf=is_grid)


def take_rows(tree: Any, rows: Array) -> Any:
    """Returns the tree with every Grid cut to the query rows `rows` [t]."""
    return map_grids(
        lambda x: x if x.shape[QUERY_AXIS] == 1 else jnp.take(x, rows, axis=QUERY_AXIS, mode="clip"), tree
    )


def broadcasts_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Returns whether an array of `shape` broadcasts to `target` without `target` growing."""
    return len(shape) <= len(target) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(target), strict=False)
    )


def pair_grid(name: str, x: Array, sizes: Sizes) -> Grid:
    """Returns `x`, broadcastable to [*B, N, T, S], as a Grid; raises ValueError for another shape."""
    if not broadcasts_to(jnp.shape(x), sizes.pairs):
        raise ValueError(
            f"{name} has shape {list(jnp.shape(x))}: expected one that broadcasts to "
            f"{list(sizes.pairs)} (*B, N, T, S)"
        )
    x = jnp.reshape(x, (1,) * (len(sizes.pairs) - jnp.ndim(x)) + jnp.shape(x))
    return Grid(flatten_batch(x, sizes))


def batch_grid(name: str, x: Any, sizes: Sizes) -> Grid:
    """Returns a scalar or an array broadcastable to [*B] as a Grid [B|1, 1, 1, 1]."""
    if not broadcasts_to(jnp.shape(x), sizes.batch):
        raise ValueError(
            f"{name} has shape {list(jnp.shape(x))}: expected a scalar or one that broadcasts to "
            f"the batch axes {list(sizes.batch)} (*B)"
        )
    # A Python int stays known while tracing, and one beyond int32 is beyond every position too.
    x = np.asarray(np.clip(x, *_INT32), np.int32) if isinstance(x, int) else jnp.asarray(x)
    x = x.reshape((1,) * (len(sizes.batch) - x.ndim) + x.shape + (1, 1, 1))
    return Grid(flatten_batch(x, sizes))


def axis_grid(name: str, x: Any, sizes: Sizes, axis: int) -> Grid:
    """Returns an array [*B, T] (axis=QUERY_AXIS) or [*B, S] (axis=KEY_AXIS) as a Grid."""
    length, letter = (sizes.queries, "T") if axis == QUERY_AXIS else (sizes.keys, "S")
    x = x if isinstance(x, np.ndarray) else jnp.asarray(x)
    if x.ndim == 0 or x.shape[-1] != length or not broadcasts_to(x.shape[:-1], sizes.batch):
        raise ValueError(
            f"{name} has shape {list(x.shape)}: expected {[*sizes.batch, length]} (*B, {letter})"
        )
    x = x.reshape((1,) * (len(sizes.batch) + 1 - x.ndim) + x.shape)
    tail = (1, length, 1) if axis == QUERY_AXIS else (1, 1, length)
    return Grid(flatten_batch(x.reshape(x.shape[:-1] + tail), sizes))


def flatten_batch(x: Any, sizes: Sizes) -> Any:
    """Returns [*B|1, n, t, s] as [B|1, n, t, s]; axes are broadcast only where some of several are 1."""
    batch, tail = x.shape[:-3], x.shape[-3:]
    if all(n == 1 for n in batch):
        return x.reshape((1, *tail))
    return library(x).broadcast_to(x, (*sizes.batch, *tail)).reshape((sizes.flat_batch, *tail))
