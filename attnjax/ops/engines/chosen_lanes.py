"""The layout of a call whose key blocks are chosen at run time, and the order in which they are visited.

A lane is one list of blocks for each unit of queries: of one batch element, and of the heads that share the
list. The units that chose a block are gathered, so many at a time, and meet it in one product: keys are read
where they lie, and what is gathered is small. All lanes take their turns together.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from attnjax.ops.core.pairs import Block
from attnjax.ops.engines.call import AttentionCall, Semantics
from attnjax.ops.engines.cutting import Arrays
from attnjax.ops.masks.chosen import ChosenBlocks

# Rows of queries that meet a key block in one turn, over all lanes: enough for a product on several cores.
ROWS = 2048
LEAST_UNITS = 8


class Plan(NamedTuple):
    """The turns of each lane that gathers queries.

    `units`: those of all entries, sorted by the block that they chose, and then those that are none; `ends`:
    of each block's entries in it. `blocks` and `first`: of a turn, the block and the place of its first unit.
    """

    units: Int[Array, "L entries"]
    ends: Int[Array, "L blocks"]
    blocks: Int[Array, "L most"]
    first: Int[Array, "L most"]


class Here(NamedTuple):
    """A turn of one lane: its units of queries, the place of its keys, the indices of the pairs."""

    units: Int[Array, " P"]
    keys: Any
    at: Block
    inside: Bool[Array, "1 1 t s"]


class ListLanes(Arrays):
    """The static part of a call: lays its arrays out by lanes, and takes the parts of a turn.

    Queries [B, T, N, ·] lie as [L, units, tokens of a unit, heads, ·], keys [B, S, K, ·] as [K lanes, blocks,
    groups, tokens of a block, ·]; a turn has queries [heads, t, ·] and keys [groups, s, ·].
    """

    def __init__(self, call: AttentionCall, rules: Semantics, chosen: ChosenBlocks, lists: int, count: int):
        super().__init__(rules, call.dtype)
        self.masked, self.sizes = True, rules.sizes
        self.size_q, self.size_k = chosen.size_q, chosen.size_k
        batch, queries, heads, keys = (
            self.sizes.flat_batch,
            self.sizes.queries,
            self.sizes.heads,
            self.sizes.keys,
        )
        self.lists, self.heads, self.lanes = lists, heads // lists, batch * lists
        self.key_lists = min(lists, call.key.shape[2])
        self.groups = call.key.shape[2] // self.key_lists
        self.units, self.blocks = -(-queries // self.size_q), -(-keys // self.size_k)
        wanted = ROWS // (self.lanes * self.heads * self.size_q)
        typical = self.units * count // self.blocks
        self.at_once = min(self.units, max(LEAST_UNITS, min(wanted, typical)))
        entries = self.units * count
        self.most = entries // self.at_once + min(self.blocks, entries)

    def plan(self, index: Int[Array, "B lists units n"]) -> tuple[Plan, Int[Array, ""]]:
        """Returns the turns of all lanes, and how many there are."""
        units, blocks = self.units, self.blocks
        chosen = index.reshape(self.lanes, units, -1)
        chosen = jnp.where((chosen >= 0) & (chosen < blocks), chosen, blocks)
        unit = jnp.broadcast_to(jnp.arange(units, dtype=jnp.int32)[:, None], chosen.shape)
        if (blocks + 1) * units < 2**31:  # One number sorts in a fifth of the time of two.
            code = jnp.sort((chosen * units + unit).reshape(self.lanes, -1), axis=-1)
            block, unit = code // units, code % units
        else:
            flat = chosen.reshape(self.lanes, -1), unit.reshape(self.lanes, -1)
            block, unit = jax.lax.sort(flat, dimension=1, num_keys=2)
        again = (block[:, 1:] == block[:, :-1]) & (unit[:, 1:] == unit[:, :-1])
        none = jnp.pad(again, ((0, 0), (1, 0))) | (block == blocks)
        unit = jnp.pad(
            jnp.where(none, units, unit), ((0, 0), (0, self.at_once)), constant_values=jnp.int32(units)
        )

        def turns(block: Array) -> tuple[Array, Array, Array, Array]:
            ends = jnp.searchsorted(block, jnp.arange(blocks), side="right").astype(jnp.int32)
            counts = jnp.diff(ends, prepend=0)
            tiles = -(-counts // self.at_once)
            last = jnp.cumsum(tiles)
            turn = jnp.arange(self.most, dtype=jnp.int32)
            own = jnp.searchsorted(last, turn, side="right").astype(jnp.int32).clip(0, blocks - 1)
            first = (ends - counts)[own] + (turn - (last - tiles)[own]) * self.at_once
            return ends, own, first.astype(jnp.int32), last[-1]

        ends, own, first, total = jax.vmap(turns)(block)
        return Plan(unit, ends, own, first), total.max()

    def here(self, plan: Plan, lane: Array, turn: Array) -> Here:
        """A turn of one lane, of whose plan the lane's axis is gone."""
        block, first = plan.blocks[turn], plan.first[turn]
        place = jnp.arange(self.at_once, dtype=jnp.int32)
        units = jax.lax.dynamic_slice_in_dim(plan.units, first, self.at_once)
        units = jnp.where(first + place < plan.ends[block], units, self.units)
        batch, own = jnp.divmod(lane, self.lists)
        indices = (
            batch,
            own * self.heads + jnp.arange(self.heads, dtype=jnp.int32),
            units[:, None] * self.size_q + jnp.arange(self.size_q, dtype=jnp.int32)[None],
            block * self.size_k + jnp.arange(self.size_k, dtype=jnp.int32),
        )
        shapes = ((1, 1, 1, 1), (1, -1, 1, 1), (1, 1, -1, 1), (1, 1, 1, -1))
        at = Block(*(x.astype(jnp.int32).reshape(s) for x, s in zip(indices, shapes, strict=True)))
        inside = (at.q < self.sizes.queries) & (at.k < self.sizes.keys)
        return Here(units, (batch * self.key_lists + own * self.key_lists // self.lists, block), at, inside)

    def take_keys(self, x: Array, here: Here) -> Array:
        """Of keys [K lanes, blocks, groups, tokens, …] those of a turn: [groups, s, …]."""
        found: Array = x[here.keys]
        return found

    def add_keys(self, x: Array, here: Here, new: Array) -> Array:
        """Keys with what the turns of all lanes, an axis before all others, add to them."""
        return x.at[here.keys].add(new)

    def pairs(self, rules: Semantics, here: Here) -> Array:
        """The pairs of a turn that attend."""
        return here.inside if rules.mask is None else here.inside & rules.mask.evaluate(here.at)

    def lay_queries(self, x: Array) -> Array:
        """[B, T, N, …] by lanes."""
        batch, queries, _, *rest = x.shape
        missing = self.units * self.size_q - queries
        x = jnp.pad(x, [(0, 0), (0, missing), *[(0, 0)] * (x.ndim - 2)]) if missing else x
        x = x.reshape(batch, self.units, self.size_q, self.lists, self.heads, *rest)
        return jnp.moveaxis(x, 3, 1).reshape(self.lanes, self.units, self.size_q, self.heads, *rest)

    def lie_queries(self, x: Array) -> Array:
        """The inverse of `lay_queries`."""
        batch, queries, heads = self.sizes.flat_batch, self.sizes.queries, self.sizes.heads
        x = jnp.moveaxis(x.reshape(batch, self.lists, *x.shape[1:]), 1, 3)
        return x.reshape(batch, self.units * self.size_q, heads, *x.shape[5:])[:, :queries]

    def lay_keys(self, x: Array) -> Array:
        """[B, S, K, …] by lanes of keys, which lanes of queries may share."""
        batch, keys, _, *rest = x.shape
        missing = self.blocks * self.size_k - keys
        x = jnp.pad(x, [(0, 0), (0, missing), *[(0, 0)] * (x.ndim - 2)]) if missing else x
        x = x.reshape(batch, self.blocks, self.size_k, self.key_lists, self.groups, *rest)
        x = jnp.moveaxis(x, (3, 4), (1, 3))
        return x.reshape(batch * self.key_lists, self.blocks, self.groups, self.size_k, *rest)

    def lie_keys(self, x: Array) -> Array:
        """The inverse of `lay_keys`."""
        batch, keys = self.sizes.flat_batch, self.sizes.keys
        x = jnp.moveaxis(x.reshape(batch, self.key_lists, *x.shape[1:]), (1, 3), (3, 4))
        x = x.reshape(batch, self.blocks * self.size_k, self.key_lists * self.groups, *x.shape[5:])
        return x[:, :keys]

    def take(self, x: Array, here: Here) -> Array:
        """The queries [units, tokens, heads, …] of a lane in a turn, as [heads, t, …]."""
        found = x.at[here.units].get(mode="fill", fill_value=0)
        return jnp.moveaxis(found, 2, 0).reshape(self.heads, self.at_once * self.size_q, *x.shape[3:])

    def put(self, x: Array, here: Here, new: Array) -> Array:
        """The queries of a lane with those of a turn, as `take` gives them, in their place."""
        new = new.reshape(self.heads, self.at_once, self.size_q, *x.shape[3:])
        return x.at[here.units].set(jnp.moveaxis(new, 0, 2), mode="drop", unique_indices=True)

    def here_params(self, params: list[Any], here: Here) -> list[Any]:
        """Parameters on the pairs of a turn."""
        return _cut(params, self.params(self.grids), here)

    def here_data(self, data: list[Any], here: Here) -> list[Any]:
        """Data on the pairs of a turn."""
        return _cut(data, self.data(self.grids), here)

    def here_rules(self, params: list[Any], data: list[Any], here: Here) -> Semantics:
        """The rules of the pairs of a turn."""
        return self.rules(self.here_params(params, here), self.here_data(data, here))

    def by_group(self, x: Array) -> Array:
        """[heads, t, …] by the key heads that serve them: [groups, rows, …]."""
        return x.reshape(self.groups, -1, *x.shape[2:])

    def by_head(self, x: Array) -> Array:
        """[groups, rows, …] by head, as masks and scores see them: [1, heads, t, …]."""
        return x.reshape(1, self.heads, self.at_once * self.size_q, *x.shape[2:])

    def per_head(self, x: Array) -> Array:
        """[groups, s] for the heads of each group: [1, heads, 1, s]."""
        return jnp.repeat(x, self.heads // self.groups, axis=0)[None, :, None]


def places(shape: tuple[int, ...], at: Block) -> tuple[Array, ...]:
    """The places of pairs in an array that is laid over them, or broadcasts to them."""
    zero = jnp.zeros((1, 1, 1, 1), jnp.int32)
    return tuple(zero if n == 1 else i.clip(0, n - 1) for n, i in zip(shape, at, strict=True))


def _cut(leaves: list[Any], grids: list[bool], here: Here) -> list[Any]:
    return [x[places(x.shape, here.at)] if grid else x for x, grid in zip(leaves, grids, strict=True)]
