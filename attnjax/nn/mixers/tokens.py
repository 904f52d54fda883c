"""The tokens that a mixer reads, of the call or of its cache, and which of them each token sees."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.base import require_kind
from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache
from attnjax.nn.attention.mask_reading import MaskReading
from attnjax.nn.attention.placing import (
    MaskLike,
    as_mask,
    filled_slots,
    following,
    kept_tokens,
    require_offsets,
)
from attnjax.ops.core.ranks import of_rank


class Seen(NamedTuple):
    """The tokens that are read.

    Attributes:
      keys, values: [*B, S, E], of the call, or of a cache with those of the call appended; 0 where no token
        sees them.
      pairs: [*B, T, S], whether a token sees another.
      at: int32 [*B, T] or [T], where the reading tokens stand.
      cache: with the tokens of the call; None where there is none.
    """

    keys: Float[Array, "*B S E"]
    values: Float[Array, "*B S E"]
    pairs: Bool[Array, "*B T S"]
    at: Int[Array, "..."]
    cache: KVCache | None


def seen_tokens(
    keys: Float[Array, "*B T E"],
    values: Float[Array, "*B T E"],
    mask: MaskLike | None,
    cache: KVCache | StateCache | None,
    *,
    mechanism: str,
    most: int,
) -> Seen:
    """Returns the tokens that those of a call read.

    Args:
      keys: of the call.
      values: of the call.
      mask: as in `SoftmaxAttention`, the same for all heads.
      cache: of earlier tokens, as `empty_slots` makes it.
      mechanism: what an error calls the layer.
      most: the number of tokens for which the layer has parameters.

    Raises:
      TypeError: The cache is of another kind.
      ValueError: There are more tokens or slots than `most`; the mask has no offset beside a cache.
    """
    batch, length = keys.shape[:-2], keys.shape[-2]
    require_kind(cache, KVCache, mechanism)
    kept = cache if isinstance(cache, KVCache) else None
    require_offsets(kept, mask)
    at = jnp.arange(length, dtype=jnp.int32)
    if kept is not None:
        at = following(kept.length, length)
        new = KeysValues(keys[..., None, :], values[..., None, :])
        kept = kept.append(new, kept_tokens(mask, kept.length, length))
        mask = filled_slots(mask, kept.length)
        keys, values = (x[..., 0, :].astype(keys.dtype) for x in (kept.keys, kept.values))
    slots = keys.shape[-2]
    require_at_most(slots, most, mechanism)
    pairs = jnp.ones((*batch, length, slots), bool)
    if mask is not None:
        pairs = as_mask(mask).materialize(length, slots, batch=batch)[..., 0, :, :]
    some = pairs.any(-2)[..., None]
    return Seen(jnp.where(some, keys, 0), jnp.where(some, values, 0), pairs, at, kept)


def require_at_most(tokens: int, most: int, mechanism: str) -> None:
    """Raises ValueError for more tokens than a layer has parameters for."""
    if tokens > most:
        raise ValueError(f"x has {tokens} tokens, with those of the cache: {mechanism} has max_length {most}")


def real_tokens(reading: MaskReading, length: int) -> Bool[Array, "*#B T"] | None:
    """Returns which tokens of a call are no padding; None for all.

    Example:
      >>> reading = MaskReading(lengths=jnp.array([1, 3]), starts=jnp.array([0, 1]))
      >>> real_tokens(reading, 3).astype(int).tolist()
      [[1, 0, 0], [0, 1, 1]]
    """
    if reading.lengths is None and reading.starts is None:
        return None
    starts, ends = (0 if x is None else x for x in (reading.starts, reading.lengths))
    rank = 1 + max(jnp.ndim(starts), jnp.ndim(ends))
    at = of_rank(jnp.arange(length, dtype=jnp.int32), rank)
    real = at >= of_rank(jnp.asarray(starts)[..., None], rank)
    return real if reading.lengths is None else real & (at < of_rank(jnp.asarray(ends)[..., None], rank))


def zero_padding(x: Float[Array, "*B T D"], real: Bool[Array, "*#B T"] | None) -> Float[Array, "*B T D"]:
    """Returns the tokens with 0 for padding, whatever it held."""
    return x if real is None else jnp.where(real[..., None], x, 0)
