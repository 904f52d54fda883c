"""Walking over the blocks of the pairs: an outer loop over query blocks, an inner one over key blocks.

Plain scans over blocks that lie along a leading axis, so that every transformation of JAX passes through
them; transposed, a block's gradient is stacked in its place, not added to an array of full length.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from attnjax.ops.masks.tiles import EMPTY, FULL, PARTIAL, Tiles


class Cut(NamedTuple):
    """Along which axes an operand is cut with the block; None where it is not."""

    queries: int | None = None
    keys: int | None = None


Operands = list[Any]
Step = Callable[[Any, Operands, Array, Array, bool], Any]


def sweep(
    tiles: Tiles,
    kinds: Int[Array, "nq nk"] | None,
    operands: Operands,
    cuts: Sequence[Cut],
    *,
    start: Callable[[Operands], Any],
    step: Step,
    recompute: bool,
) -> Any:
    """For each query block: fold `step` over its key blocks, beginning with `start`; results stacked.

    `step(carry, block operands, q_index, k_index, masked)` is called with masked=False on FULL blocks and not
    at all on EMPTY ones; kinds = None says that all are FULL. With `recompute` a derivative keeps no block.
    """
    remember = jax.checkpoint if recompute else lambda fn, **_: fn
    kinds_of = {FULL: False, PARTIAL: True}
    by_query = [_split(x, c.queries, tiles.block_q, tiles.nq) for x, c in zip(operands, cuts, strict=True)]
    by_key = [
        _split(x, c.keys if c.queries is None else None, tiles.block_k, tiles.nk)
        for x, c in zip(operands, cuts, strict=True)
    ]

    def row(_: None, xs: Any) -> tuple[None, Any]:
        q_first, row_kinds, rows = xs
        here = [x if r is None else r for x, r in zip(operands, rows, strict=True)]
        columns = [
            c if c is not None else _split(x, cut.keys, tiles.block_k, tiles.nk)
            for x, c, cut in zip(here, by_key, cuts, strict=True)
        ]
        q_index = q_first + jnp.arange(tiles.block_q)

        def column(carry: Any, xs: Any) -> tuple[Any, None]:
            k_first, kind, blocks = xs
            block = [x if b is None else b for x, b in zip(here, blocks, strict=True)]
            k_index = k_first + jnp.arange(tiles.block_k)

            def visit(masked: bool) -> Callable[[Any, Operands], Any]:
                return remember(
                    lambda carry, block: step(carry, block, q_index, k_index, masked), prevent_cse=False
                )

            if kind is None:
                return visit(False)(carry, block), None
            branches: dict[int, Any] = {EMPTY: lambda carry, block: carry}
            branches |= {kind: visit(masked) for kind, masked in kinds_of.items()}
            return jax.lax.switch(kind, [branches[k] for k in sorted(branches)], carry, block), None

        k_firsts = jnp.arange(tiles.nk) * tiles.block_k
        return None, jax.lax.scan(column, start(here), (k_firsts, row_kinds, columns))[0]

    q_firsts = jnp.arange(tiles.nq) * tiles.block_q
    return jax.lax.scan(remember(row, prevent_cse=False), None, (q_firsts, kinds, by_query))[1]


def _split(x: Array, axis: int | None, size: int, count: int) -> Array | None:
    """Blocks of `size` along `axis`, stacked in front; zeros fill the last one. None stays uncut."""
    if axis is None:
        return None
    missing = count * size - x.shape[axis]
    if missing:
        x = jnp.pad(x, [(0, missing if a == axis else 0) for a in range(x.ndim)])
    return jnp.moveaxis(x.reshape(*x.shape[:axis], count, size, *x.shape[axis + 1 :]), axis, 0)


def unstack(x: Array, axis: int, length: int) -> Array:
    """The inverse of the cut along `axis`: blocks in front joined again, cut to `length`."""
    x = jnp.moveaxis(x, 0, axis)
    x = x.reshape(*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :])
    return jax.lax.slice_in_dim(x, 0, length, axis=axis)
