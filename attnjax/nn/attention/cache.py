"""What attention keeps of the tokens so far, of fixed size: every decoding step is the same program."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int


class KeysValues(NamedTuple):
    """What attention makes of the tokens that it looks at: keys [*B, S, K, H] and values [*B, S, K, V]."""

    keys: Float[Array, "*B S K H"]
    values: Float[Array, "*B S K V"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KVCache:
    """The first `length` of L slots hold keys and values; passed in and returned, never changed in place.

    keys: [*B, L, K, H], values: [*B, L, K, V], length: int32 scalar, the same for all rows of the batch.

    >>> cache = KVCache.empty((2,), 8, kv_heads=1, head_dim=4)
    >>> tokens = jnp.ones((2, 3, 1, 4))
    >>> cache = cache.append(KeysValues(tokens, tokens))
    >>> int(cache.length), cache.capacity
    (3, 8)
    """

    keys: Float[Array, "*B L K H"]
    values: Float[Array, "*B L K V"]
    length: Int[Array, ""]

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
        """A cache of `capacity` free slots; value_dim is V, by default H.

        Raises:
          TypeError: the dtype is not floating point.
        """
        require_floats(dtype)

        def slots(size: int) -> Array:
            return jnp.zeros((*batch, capacity, kv_heads, size), dtype)

        return cls(slots(head_dim), slots(head_dim if value_dim is None else value_dim), jnp.int32(0))

    @property
    def capacity(self) -> int:
        """L, the number of slots."""
        return self.keys.shape[-3]

    def append(self, new: KeysValues) -> "KVCache":
        """The cache with T more tokens, in the cache's dtype.

        Raises:
          ValueError: shapes do not fit, or the tokens do not. Inside jit the length is not known: there only
            T > capacity raises, and it is up to the caller to stop in time.
          TypeError: the cache is not floating point.
        """
        for name, added, old in zip(("keys", "values"), new, (self.keys, self.values), strict=True):
            if added.shape[:-3] + added.shape[-2:] != old.shape[:-3] + old.shape[-2:]:
                raise ValueError(f"{name} {list(added.shape)} (*B, T, K, H): the cache has {list(old.shape)}")
            require_floats(old.dtype)
        tokens = new.keys.shape[-3]
        self._require_room(tokens)
        keys, values = self._write(self.keys, new.keys), self._write(self.values, new.values)
        return KVCache(keys, values, self.length + tokens)

    def _require_room(self, tokens: int) -> None:
        used = 0 if isinstance(self.length, jax.core.Tracer) else int(self.length)
        if used + tokens > self.capacity:
            raise ValueError(f"cache of {self.capacity} slots, {used} used: no room for {tokens} more tokens")

    def _write(self, old: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), self.length, axis=-3)


def require_floats(dtype: DTypeLike) -> None:
    """Raises TypeError for a cache of integers, which would cut off all that follows the point."""
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"dtype of the cache is {jnp.dtype(dtype)}: expected floating point")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class StateCache:
    """What a recurrence keeps, of the same size after any number of tokens; passed in and returned.

    state: as the mechanism returns it, with *B in front; tails: the last tokens [*B, W-1, …] that short
    convolutions saw, by what they are of; length: int32 scalar, the tokens so far (padding counts).
    """

    state: Any
    tails: dict[str, Float[Array, "..."]]
    length: Int[Array, ""]
