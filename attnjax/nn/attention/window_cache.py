"""A cache of the last tokens alone, for layers that look back no farther than a window."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.cache import SLOTS, KeysValues, KVCache
from attnjax.nn.placed import axis_of_sequences

LEAST_SLOTS = 16
"""Slots of the narrowest window: a strategy that takes tokens back may take so many at a time."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WindowKVCache(KVCache):
    """A cache of each row's last tokens; it is never full, however many there were.

    The newest token of a row is in its last slot, the one before in the slot before that; the slots of a row
    of fewer tokens are free in front. `length` counts all tokens, so that it is the position of the next one.

    Example:
      >>> cache = WindowKVCache.empty((1,), 2, kv_heads=1, head_dim=1)
      >>> tokens = jnp.arange(1.0, 4.0).reshape(1, 3, 1, 1)
      >>> cache = cache.append(KeysValues(tokens, tokens))
      >>> cache.keys.ravel().tolist(), cache.length.tolist()
      ([2.0, 3.0], [3])
    """

    @property
    def fits(self) -> Bool[Array, "*B"]:
        """True for each row."""
        return jnp.ones_like(self.length, bool)

    @property
    def _used(self) -> int:
        return self.capacity

    def joined(self, new: KeysValues) -> KeysValues:
        """Returns the slots and T more tokens after them, in the cache's dtype."""
        both = zip((self.keys, self.values), new, strict=True)
        return KeysValues(*(jnp.concatenate([old, x.astype(old.dtype)], SLOTS) for old, x in both))

    def append(self, new: KeysValues, count: Int[Array, "*B"] | None = None) -> "WindowKVCache":
        """Returns the cache with T more tokens, in the cache's dtype; the oldest make room for them.

        Args:
          new: their keys and values.
          count: the number of each row's tokens that are kept, the first ones; None: all.

        Raises:
          ValueError: Shapes do not fit.
          TypeError: The cache is not floating point.
        """
        self._require_alike(new)
        joined, tokens = self.joined(new), new.keys.shape[SLOTS]
        if count is None:
            keys, values = (x[..., tokens:, :, :] for x in joined)
            return WindowKVCache(keys, values, self.length + tokens)
        count = jnp.broadcast_to(jnp.clip(count, 0, tokens), self.length.shape).astype(jnp.int32)
        keys, values = (_at(x, self._slots_after(count)) for x in joined)
        return WindowKVCache(keys, values, self.length + count)

    def taken_back(self, before: KVCache, count: Int[Array, "*B"]) -> "WindowKVCache":
        """Returns the cache with the first `count` alone of the tokens that came to the one before.

        These were no more than there are slots: the two caches together then hold all that the new one does.
        """
        slots, more = self._slots_after(count), (self.length - before.length)[..., None]
        # Behind the slots of `before` stand those of this cache, which ends with the tokens that came.
        slots = jnp.where(slots < self.capacity, slots, slots + self.capacity - more)
        pairs = (before.keys, self.keys), (before.values, self.values)
        keys, values = (_at(jnp.concatenate(pair, SLOTS), slots) for pair in pairs)
        return replace(self, keys=keys, values=values, length=before.length + count)

    def _slots_after(self, count: Int[Array, "*B"]) -> Int[Array, "*B L"]:
        """Returns where the slots of the cache with so many more tokens are now, those tokens behind them."""
        return count[..., None] + jnp.arange(self.capacity, dtype=jnp.int32)


def empty_slots(batch: tuple[int, ...], capacity: int, looks_back: int | None, **sizes: Any) -> KVCache:
    """Returns a cache of free slots for so many tokens, or for those alone that a layer looks back to.

    A mesh that splits the slots has a cache of all tokens, of which each device holds a part.

    Args:
      batch: *B.
      capacity: in tokens.
      looks_back: the most tokens before its own that a token sees; None: all.
      sizes: the other arguments of `KVCache.empty`.

    Example:
      >>> empty_slots((1,), 4096, 255, kv_heads=1, head_dim=4).capacity
      255
      >>> empty_slots((1,), 100, 255, kv_heads=1, head_dim=4).capacity
      100
    """
    slots = capacity if looks_back is None else max(looks_back, LEAST_SLOTS)
    if slots >= capacity or axis_of_sequences(capacity) is not None:
        return KVCache.empty(batch, capacity, **sizes)
    return WindowKVCache.empty(batch, slots, **sizes)


def _at(x: Float[Array, "*B S K H"], slots: Int[Array, "*B L"]) -> Float[Array, "*B L K H"]:
    return jnp.take_along_axis(x, slots[..., None, None], SLOTS)
