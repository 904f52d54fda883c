"""Places of queries and keys when there is a cache or a context beside the tokens that ask."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.cache import KeysValues, KVCache
from attnjax.nn.attention.mask_reading import MaskReading, parts
from attnjax.nn.attention.window_cache import WindowKVCache
from attnjax.ops import masks
from attnjax.ops.core.node import PytreeNode, replace
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.masks import Mask
from attnjax.ops.masks.content import Dense, Lengths, Segments
from attnjax.ops.scores.base import flatten
from attnjax.ops.scores.relabelled import RelabelledScore

Positions = Int[Array, "*#B T"] | None
MaskLike = Mask | Bool[Array, "*#B #N #T #S"]


def counted(
    x: Float[Array, "*B T D"],
    context: Float[Array, "*B S D"] | KeysValues | None,
    positions: Positions,
    context_positions: Positions,
    before: int | Int[Array, "*B"],
) -> tuple[Any, Any]:
    """Returns the positions of x, from `before` unless given, and of a context not yet projected, from 0.

    Raises:
      ValueError: One of the two would be guessed beside the other.
    """
    raw = context is not None and not isinstance(context, KeysValues)
    if context_positions is not None and not raw:
        raise ValueError("context_positions are given: expected a context with them that is not projected")
    if isinstance(context, KeysValues) and positions is None:
        raise ValueError(
            "positions None: a projected context stands where `project` placed it, expected those of x"
        )
    if raw and (positions is None) != (context_positions is None):
        given = "positions" if context_positions is None else "context_positions"
        raise ValueError(f"{given} alone: expected positions (of x) and context_positions, or none of them")
    if positions is None:
        positions = following(before, x.shape[-2])
    return positions, positions if context is None else context_positions


def following(before: int | Int[Array, "*B"], tokens: int) -> Int[Array, "*B T"]:
    """Returns the positions of so many tokens that follow those before them.

    Example:
      >>> following(jnp.array([0, 3]), 2).tolist()
      [[0, 1], [3, 4]]
    """
    at = jnp.arange(tokens, dtype=jnp.int32)
    return at + before if isinstance(before, int) else of_rank(at, before.ndim + 1) + before[..., None]


def require_offsets(cache: KVCache | None, *rules: Any) -> None:
    """Raises ValueError for rules without an offset, where a cache is known to hold tokens."""
    if cache is None or isinstance(cache.length, jax.core.Tracer) or not np.any(cache.length):
        return
    for node in _from_zero(rules):
        raise ValueError(
            f"{node!r} with a cache of {np.max(cache.length)} tokens: its queries would stand at 0, "
            "expected offset=cache.length"
        )


def nan_where_wrong(
    out: Float[Array, "*B T D"], before: KVCache | None, after: KVCache | None, *rules: Any
) -> Float[Array, "*B T D"]:
    """Returns out, but NaN in rows whose traced length turns out to be one that would have been refused.

    These are rows that hold tokens where a rule counts from 0, and rows with more tokens than slots.
    """
    if before is None or after is None or not isinstance(after.length, jax.core.Tracer):
        return out
    right = after.fits
    if _from_zero(rules):
        right &= before.length == 0
    return jnp.where(right[..., None, None], out, jnp.nan)


def filled_slots(mask: MaskLike | None, length: Int[Array, "*B"]) -> Mask:
    """Returns the mask without the slots of a cache that hold no token yet."""
    filled = masks.lengths(key=length)
    return filled if mask is None else as_mask(mask) & filled


def remembered(
    cache: KVCache, new: KeysValues, count: Int[Array, "*B"] | None, rules: dict[str, Any]
) -> tuple[KeysValues, KVCache]:
    """Returns what is attended to, and the cache with T new tokens, the first `count` of each row.

    It changes the rules: the mask leaves out slots that hold no token, and where these are a window, masks,
    scores and normalisers go on speaking of positions in the sequence.
    """
    kept = cache.append(new, count)
    rules["mask"] = filled_slots(rules["mask"], kept.length)
    if not isinstance(cache, WindowKVCache):
        return KeysValues(kept.keys, kept.values), kept
    _require_no_pairs(rules["mask"])
    tokens = new.keys.shape[-3]
    queries: Any = np.arange(tokens, dtype=np.int32)
    keys = following(cache.length - cache.capacity, cache.capacity + tokens)
    # Free slots are those that would hold a token before the first.
    rules["mask"] = masks.relabel(rules["mask"] & ~masks.prefix(0), queries, keys)
    rules["score"] = [RelabelledScore(score, queries, keys) for score in flatten(rules["score"])] or None
    # Normalisers see rows as they lie, in which the keys begin with the first slot.
    rules["normalizer"] = _moved(rules["normalizer"], cache.length - cache.capacity)
    return cache.joined(new), kept


def kept_tokens(mask: MaskLike | None, before: Int[Array, "*B"], tokens: int) -> Int[Array, "*B"] | None:
    """Returns the number of T new tokens of each row that lengths(key=…) in the mask leaves; None for all.

    Example:
      >>> kept_tokens(masks.causal() & masks.lengths(key=jnp.array([3, 9])), jnp.array([1, 2]), 4).tolist()
      [2, 4]
    """
    ends = [part.key for part in parts(mask) if isinstance(part, Lengths) and part.key is not None]
    if not ends:
        return None
    end = functools.reduce(jnp.minimum, ends)
    return jnp.clip(jnp.asarray(end, jnp.int32) - before, 0, tokens)


def shifted(x: Float[Array, "..."], left: Int[Array, "*#B"]) -> Float[Array, "..."]:
    """Returns each row moved by so many tokens to the left, round the ends.

    Example:
      >>> shifted(jnp.array([[[0.0], [1.0], [2.0]]]), jnp.array([1]))[0, :, 0].tolist()
      [1.0, 2.0, 0.0]
    """
    batch, tokens = x.shape[:-2], x.shape[-2]
    index = following(jnp.broadcast_to(left, batch), tokens) % tokens
    return jnp.take_along_axis(x, index[..., None], axis=-2)


def shifted_positions(
    positions: Int[Array, "*#B T"], left: Int[Array, "*#B"], tokens: tuple[int, ...]
) -> Int[Array, "*B T"]:
    """Returns the positions of tokens [*B, T] that `shifted` moves."""
    return shifted(jnp.broadcast_to(positions, tokens)[..., None], left)[..., 0]


def right_padded(reading: MaskReading, tokens: int) -> MaskReading:
    """Returns the reading after each row has moved by its start to the left."""
    ends, ids = tokens if reading.lengths is None else reading.lengths, reading.segment_ids
    if ids is not None:
        starts = jnp.asarray(reading.starts)
        shape = jnp.broadcast_shapes(starts.shape, jnp.shape(ids)[:-1])
        ids = shifted_positions(jnp.asarray(ids), starts, (*shape, tokens))
    return reading._replace(lengths=jnp.maximum(ends - reading.starts, 0), starts=None, segment_ids=ids)


def as_mask(mask: MaskLike) -> Mask:
    """Returns a mask of ops; a boolean array becomes one."""
    return mask if isinstance(mask, Mask) else masks.dense(mask)


def _require_no_pairs(mask: Mask) -> None:
    """Raises ValueError for an array over keys, which a window has no slots for."""
    for part in jax.tree.leaves(mask, is_leaf=lambda x: isinstance(x, Dense | Segments)):
        array = getattr(part, "array", getattr(part, "key_ids", None))
        if array is not None and jnp.shape(array)[-1] != 1:
            raise ValueError(
                f"mask {part!r}: a cache of a window takes no array over keys, expected masks by position"
            )


def _from_zero(rules: Any) -> list[Any]:
    """Returns the nodes that count positions from 0; an array is trusted, its author has thought of it."""
    nodes: list[Any] = jax.tree.leaves(rules, is_leaf=_has_offset)
    return [x for x in nodes if _has_offset(x) and isinstance(x.offset, int) and x.offset == 0]


def _moved(rules: Any, left: Int[Array, "*B"]) -> Any:
    """Returns the rules with the offsets of nodes so much lower."""

    def moved(x: Any) -> Any:
        return replace(x, offset=x.offset - left) if _has_offset(x) else x

    return jax.tree.map(moved, rules, is_leaf=_has_offset)


def _has_offset(x: Any) -> bool:
    return isinstance(x, PytreeNode) and hasattr(x, "offset")
