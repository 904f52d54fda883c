"""The layout of a call that chooses single keys, or a few queries: keys are gathered for every query.

A product of the queries that chose one key, as `chosen_lanes` has it, would be of one column. Here a turn has
the next queries of each lane with all the keys that they chose. What is gathered grows with the entries too.
"""

import jax.numpy as jnp
from jaxtyping import Array, Int

from attnjax.ops.core.pairs import Block
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.engines.call import AttentionCall, Semantics
from attnjax.ops.engines.chosen_lanes import Here, ListLanes
from attnjax.ops.masks.chosen import ChosenBlocks

# Numbers that a turn gathers for keys, over all lanes: such as stay in a processor's cache.
GATHERED = 2**19


class ByQuery(ListLanes):
    """Lanes whose turns have all the keys of some queries: [groups·queries, s, ·], one product for each."""

    def __init__(self, call: AttentionCall, rules: Semantics, chosen: ChosenBlocks, lists: int, count: int):
        super().__init__(call, rules, chosen, lists, count)
        self.distinct = chosen.distinct
        of_query = self.lanes * self.groups * count * self.size_k * call.key.shape[-1]
        self.at_once = max(1, min(self.units, GATHERED // of_query))
        self.most = -(-self.units // self.at_once)

    def plan(self, index: Int[Array, "B lists units n"]) -> tuple[Array, Array]:  # type: ignore[override]
        """Returns the blocks of each lane's units, -1 for none, and the number of turns."""
        index = index.reshape(self.lanes, self.units, -1)
        if not self.distinct:
            index = jnp.sort(index, axis=-1)
            again = jnp.pad(index[..., 1:] == index[..., :-1], ((0, 0), (0, 0), (1, 0)))
            index = jnp.where(again, -1, index)
        return jnp.where(index < self.blocks, index, -1), jnp.int32(self.most)

    def here(self, plan: Array, lane: Array, turn: Array) -> Here:  # type: ignore[override]
        """Returns what a turn of one lane computes."""
        units = turn * self.at_once + jnp.arange(self.at_once, dtype=jnp.int32)
        index = plan.at[units].get(mode="fill", fill_value=-1)
        batch, own = jnp.divmod(lane, self.lists)
        heads = own * self.heads + jnp.arange(self.heads, dtype=jnp.int32)
        keys = index[..., None] * self.size_k
        keys = keys + of_rank(jnp.arange(self.size_k, dtype=jnp.int32), keys.ndim)
        keys = jnp.where(index[..., None] < 0, self.sizes.keys, keys).reshape(1, 1, self.at_once, -1)
        units = jnp.where(units < self.units, units, self.units)
        at = Block(batch.reshape(1, 1, 1, 1), heads.reshape(1, -1, 1, 1), units.reshape(1, 1, -1, 1), keys)
        at = Block(*(x.astype(jnp.int32) for x in at))
        key_lane = batch * self.key_lists + own * self.key_lists // self.lists
        return Here(
            units, (key_lane, index.clip(0)), at, (at.q < self.sizes.queries) & (keys < self.sizes.keys)
        )

    def take_keys(self, x: Array, here: Here) -> Array:
        """Of keys [K lanes, blocks, groups, tokens, …] those of a turn, for each of its queries."""
        found = jnp.moveaxis(x[here.keys], 2, 0)  # [groups, units, entries, tokens, …]
        return found.reshape(self.groups * self.at_once, -1, *x.shape[4:])

    def add_keys(self, x: Array, here: Here, new: Array) -> Array:
        """Returns keys with what the turns of all lanes add to them."""
        lane, index = here.keys
        entries = index.shape[-1]
        new = new.reshape(self.lanes, self.groups, self.at_once, entries, self.size_k, *x.shape[4:])
        return x.at[lane[:, None, None], index].add(jnp.moveaxis(new, 1, 3))

    def by_group(self, x: Array) -> Array:
        """[heads, t, …] by the key heads that serve them and by query: [groups·t, heads of a group, …]."""
        x = x.reshape(self.groups, -1, *x.shape[1:])
        return jnp.moveaxis(x, 1, 2).reshape(self.groups * self.at_once, -1, *x.shape[3:])

    def by_head(self, x: Array) -> Array:
        """The inverse of `by_group`: [1, heads, t, …]."""
        x = x.reshape(self.groups, self.at_once, *x.shape[1:])
        return jnp.moveaxis(x, 2, 1).reshape(1, self.heads, self.at_once, *x.shape[3:])

    def per_head(self, x: Array) -> Array:
        """Returns what belongs to a key head for each of its query heads: [1, heads, t, s]."""
        x = x.reshape(self.groups, self.at_once, -1)
        return jnp.repeat(x, self.heads // self.groups, axis=0)[None]


def serves(chosen: ChosenBlocks, rows: int, keys: int, count: int) -> bool:
    """Returns whether keys are best gathered by query: each query has a list, and few share a block."""
    shared = rows * count // max(1, -(-keys // chosen.size_k))
    return chosen.size_q == 1 and (chosen.size_k < SMALL or shared < FEW)


# Keys of a block from which on a product with the queries that chose it pays, and such queries.
SMALL, FEW = 16, 4
