"""Hops of the ring: those that a mask leaves, and in each the devices whose queries and keys meet.

In hop r device d holds the keys of device d - r. A hop is left out where the mask leaves it empty on every
device, and on a device the product of a hop that the mask leaves empty there.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from attnjax.ops.context.layout import ShardLayout
from attnjax.ops.core.node import library
from attnjax.ops.core.pairs import Sizes
from attnjax.ops.engines.schedule import likely, tile_kinds
from attnjax.ops.masks.base import Mask
from attnjax.ops.masks.content import Predicate
from attnjax.ops.masks.tiles import EMPTY, Tiles


def computed(mask: Mask | None, sizes: Sizes, layout: ShardLayout) -> Bool[Array, "n n"]:
    """Returns which devices' queries (rows) may attend which devices' keys, in numpy where that is known.

    A predicate says nothing of whole shards: evaluated at all pairs they would cost what attention does.
    """
    silent = jax.tree.map(_silent, mask, is_leaf=lambda x: isinstance(x, Predicate))
    parts = layout.chunks.size
    tiles = Tiles(sizes, max(1, sizes.queries // parts), max(1, sizes.keys // parts))
    some = (tile_kinds(silent, tiles) != EMPTY).any((0, 1))
    xp, rows = library(some), layout.chunks
    found: Array = some[rows[:, None, :, None], rows[None, :, None, :]].any((2, 3))
    return found if xp is np else jnp.asarray(found)


def _silent(node: Any) -> Any:
    return Mask() if isinstance(node, Predicate) else node


def hops_of(mask: Mask | None, sizes: Sizes, layout: ShardLayout) -> tuple[int, ...]:
    """Returns the hops that a mask leaves, by what is structure of it: no ids, lengths or traced arrays."""
    some = np.asarray(computed(likely(mask, packed=None), sizes, layout))
    query, key = np.nonzero(some)
    # The first hop moves nothing, and a call without any pair has a result too.
    return tuple(sorted({0, *((query - key) % layout.shards).tolist()}))


Turn = Callable[[Any, Any, Any], tuple[Any, Any]]


def fold_hops(
    turn: Turn, carry: Any, held: Any, moved: Any, hops: tuple[int, ...], layout: ShardLayout
) -> Any:
    """Returns carry and moved after `turn(carry, (held, moved), hop) -> (carry, moved)` in every hop.

    `held`, keys and values, goes round while a hop is computed; `moved`, what hops add to for the device that
    the keys came from, goes after it, and comes home at the end.
    """
    at = 0
    for run in _runs(hops):
        held, moved = (_shift(x, run[0] - at, layout) for x in (held, moved))
        if len(run) > 1:

            def step(state: Any, hop: Array) -> tuple[Any, None]:
                carry, held, moved = state
                coming = _shift(held, 1, layout)
                carry, moved = turn(carry, (held, moved), hop)
                return (carry, coming, _shift(moved, 1, layout)), None

            start = (carry, held, moved)
            (carry, held, moved), _ = jax.lax.scan(step, start, jnp.array(run[:-1], jnp.int32))
        carry, moved = turn(carry, (held, moved), jnp.int32(run[-1]))
        at = run[-1]
    return carry, _shift(moved, -at, layout)


def sends(hops: tuple[int, ...]) -> int:
    """Returns how often keys and values are sent to the next holder: once between two hops."""
    return len(hops) - 1


def _shift(tree: Any, by: int, layout: ShardLayout) -> Any:
    """Returns arrays from the device `by` before this one."""
    n = layout.shards
    if by % n == 0:
        return tree
    pairs = [(device, (device + by) % n) for device in range(n)]
    return jax.tree.map(lambda x: jax.lax.ppermute(x, layout.axis, pairs), tree)


def _runs(hops: tuple[int, ...]) -> Iterator[list[int]]:
    """Returns the hops in runs of neighbours, each of which is one loop.

    >>> list(_runs((0, 1, 2, 7)))
    [[0, 1, 2], [7]]
    """
    for _, group in itertools.groupby(enumerate(hops), lambda pair: pair[1] - pair[0]):
        yield [hop for _, hop in group]
