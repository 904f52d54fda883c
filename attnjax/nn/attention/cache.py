"""Caches of the tokens so far, of fixed size: every decoding step is the same program."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PyTree

from attnjax.nn.placed import placed_slots

SLOTS = -3
"""The axis of the tokens of keys and values."""
PIECE = 16
"""Slots that rows take from others at once."""


class KeysValues(NamedTuple):
    """The keys [*B, S, K, H] and values [*B, S, K, V] of the tokens that attention looks at."""

    keys: Float[Array, "*B S K H"]
    values: Float[Array, "*B S K V"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KVCache:
    """A cache of keys and values; it is passed in and returned, never changed in place.

    Each row fills its slots from the first on: the token at position p is in slot p. Rows may hold different
    numbers of tokens. Over a mesh with an axis of sequences each device holds its part of the slots.

    Attributes:
      keys: [*B, L, K, H].
      values: [*B, L, K, V].
      length: int32 [*B], the slots of each row that hold a token.

    Example:
      >>> cache = KVCache.empty((2,), 8, kv_heads=1, head_dim=4)
      >>> tokens = jnp.ones((2, 3, 1, 4))
      >>> cache = cache.append(KeysValues(tokens, tokens), count=jnp.array([3, 1]))
      >>> cache.length.tolist(), cache.capacity
      ([3, 1], 8)
    """

    keys: Float[Array, "*B L K H"]
    values: Float[Array, "*B L K V"]
    length: Int[Array, "*B"]

    @classmethod
    def empty(
        cls,
        batch: tuple[int, ...],
        capacity: int,
        *,
        kv_heads: int,
        head_dim: int,
        value_dim: int | None = None,
        dtype: DTypeLike = jnp.float32,
    ) -> "KVCache":
        """Returns a cache of free slots.

        Args:
          batch: *B, the sizes of the batch axes.
          capacity: L, in tokens.
          kv_heads: K.
          head_dim: H.
          value_dim: V; None: H.
          dtype: of keys and values.

        Raises:
          TypeError: The dtype is not floating point.
        """
        require_floats(dtype)

        def slots(size: int) -> Array:
            return placed_slots(jnp.zeros((*batch, capacity, kv_heads, size), dtype), SLOTS)

        values = slots(head_dim if value_dim is None else value_dim)
        return cls(slots(head_dim), values, jnp.zeros(batch, jnp.int32))

    @property
    def capacity(self) -> int:
        """L, the number of slots."""
        return self.keys.shape[-3]

    def append(self, new: KeysValues, count: Int[Array, "*B"] | None = None) -> "KVCache":
        """Returns the cache with T more tokens, in the cache's dtype.

        Args:
          new: their keys and values.
          count: the number of each row's tokens that are kept, the first ones; those after them are padding.
            None keeps all.

        Raises:
          ValueError: Shapes do not fit, or a row has too few slots left. Inside jit lengths are not known:
            there only T > capacity raises, and a token without a slot is left out.
          TypeError: The cache is not floating point.
        """
        self._require_alike(new)
        tokens = new.keys.shape[-3]
        self._require_room(tokens, count)
        keys, values = (
            placed_slots(write_rows(old, added, self.length, count=count), SLOTS)
            for old, added in ((self.keys, new.keys), (self.values, new.values))
        )
        kept = tokens if count is None else jnp.clip(count, 0, tokens)
        return KVCache(keys, values, self.length + jnp.int32(kept))

    @property
    def fits(self) -> Bool[Array, "*B"]:
        """True for each row that has slots for all of its tokens."""
        return self.length <= self.capacity

    def taken_back(self, before: "KVCache", count: Int[Array, "*B"]) -> "KVCache":
        """Returns the cache with the first `count` alone of the tokens that came to the one before."""
        return replace(self, length=before.length + count)

    def among_beams(self, parents: Int[Array, " B"]) -> "KVCache":
        """Returns the cache of rows that go on from others: row b from row parents[b]."""
        slots = {"keys": self.keys, "values": self.values}
        others = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in slots}
        moved = _moved(slots, parents, self._used)
        return replace(self, **moved, **jax.tree.map(lambda x: x[parents], others))

    @property
    def _used(self) -> int | Int[Array, ""]:
        """The number of slots behind which no row has a token."""
        return jnp.minimum(self.length.max(), self.capacity)

    def _require_alike(self, new: KeysValues) -> None:
        for name, added, old in zip(("keys", "values"), new, (self.keys, self.values), strict=True):
            if added.shape[:-3] + added.shape[-2:] != old.shape[:-3] + old.shape[-2:]:
                raise ValueError(f"{name} {list(added.shape)} (*B, T, K, H): the cache has {list(old.shape)}")
            require_floats(old.dtype)

    def _require_room(self, tokens: int, count: Int[Array, "*B"] | None) -> None:
        if isinstance(count, jax.core.Tracer):
            return
        more = np.asarray(tokens if count is None else np.clip(count, 0, tokens))
        used = np.zeros((), int) if isinstance(self.length, jax.core.Tracer) else np.asarray(self.length)
        used, more = np.broadcast_arrays(used, more)
        full = np.argwhere(used + more > self.capacity)
        if len(full) == 0:
            return
        row = tuple(full[0])
        where = "" if (used == used[row]).all() else f" in row {', '.join(map(str, row))}"
        raise ValueError(
            f"cache of {self.capacity} slots, {used[row]} used{where}: no room for {more[row]} more tokens"
        )


def write_rows(
    old: Float[Array, "..."],
    new: Float[Array, "..."],
    start: Int[Array, "*B"],
    *,
    count: Int[Array, "*B"] | None = None,
) -> Float[Array, "..."]:
    """Returns slots with tokens written from each row's start on; those past the last slot are left out.

    Args:
      old: the slots.
      new: the tokens, of which the first `count` of each row are written; None: all.
      start: the slot of each row's first token.
      count: the number of tokens of each row.

    Example:
      >>> write_rows(jnp.zeros((2, 4)), jnp.ones((2, 2)), jnp.array([0, 2]), count=jnp.array([2, 1])).tolist()
      [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    """
    batch = start.ndim
    capacity, tokens, size = old.shape[batch], new.shape[batch], math.prod(old.shape[:batch])
    token = jnp.arange(tokens, dtype=jnp.int32)[None]
    slot = start.reshape(size, 1) + token
    if count is not None:
        slot = jnp.where(token < jnp.broadcast_to(count, start.shape).reshape(size, 1), slot, capacity)
    flat = old.reshape(size, *old.shape[batch:])
    rows = new.astype(old.dtype).reshape(size, *new.shape[batch:])
    if size == tokens == 1:
        # With one more, that has no slot. Of a scatter to one place XLA makes an update for each reader of
        # the slots, and so two copies of all of them on a CPU.
        slot, rows = jnp.pad(slot, ((0, 0), (0, 1)), constant_values=capacity), jnp.repeat(rows, 2, axis=1)
    written = flat.at[jnp.arange(size)[:, None], slot].set(rows, mode="drop")
    return written.reshape(old.shape)


def require_floats(dtype: DTypeLike) -> None:
    """Raises TypeError for a cache of integers, which would cut off all that follows the point."""
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"dtype of the cache is {jnp.dtype(dtype)}: expected floating point")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class StateCache:
    """A cache of a recurrence, of the same size after any number of tokens; it is passed in and returned.

    Attributes:
      state: as the mechanism returns it, with *B in front.
      tails: the last tokens [*B, W-1, …] that short convolutions saw, by what they are of.
      length: int32 [*B], the tokens of each row so far, without padding.
    """

    state: Any
    tails: dict[str, Float[Array, "..."]]
    length: Int[Array, "*B"]


def among_beams(cache: PyTree, parents: Int[Array, " B"]) -> PyTree:
    """Returns a model's cache for beams that go on from others of their row: beam b from parents[b].

    A part may know better by its own `among_beams`: what all beams of a row read, as the keys of a source,
    need not be moved.
    """

    def of(part: Any) -> Any:
        return part.among_beams(parents) if hasattr(part, "among_beams") else part[parents]

    return jax.tree.map(of, cache, is_leaf=lambda part: hasattr(part, "among_beams"))


def _moved(
    slots: dict[str, Array], parents: Int[Array, " B"], used: int | Int[Array, ""]
) -> dict[str, Array]:
    """Returns slots whose rows are taken from others, the first `used` of them.

    On a CPU to move all of them takes longer than the rest of a step: few tokens are there at first. An
    accelerator would wait for each piece, and moves all at once.
    """
    if jax.default_backend() != "cpu":
        return jax.tree.map(lambda x: x[parents], slots)
    capacity = slots["keys"].shape[SLOTS]
    size = min(PIECE, capacity)

    def piece(number: Int[Array, ""], slots: dict[str, Array]) -> dict[str, Array]:
        start = jnp.minimum(number * size, capacity - size)
        again = start + jnp.arange(size) < number * size  # The last piece begins within the one before.

        def of(x: Array) -> Array:
            own = jax.lax.dynamic_slice_in_dim(x, start, size, SLOTS)
            kept = jnp.where(again[:, None, None], own, own[parents])
            return jax.lax.dynamic_update_slice_in_dim(x, kept, start, SLOTS)

        return jax.tree.map(of, slots)

    return jax.lax.fori_loop(0, -(-used // size), piece, slots)
