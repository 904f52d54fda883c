"""Where queries and keys stand when there is a cache or a context beside the tokens that ask."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.cache import KeysValues
from attnjax.ops import masks
from attnjax.ops.core.node import PytreeNode
from attnjax.ops.masks import Mask

Positions = Int[Array, "*#B T"] | None


def counted(
    x: Float[Array, "*B T D"],
    context: Float[Array, "*B S D"] | KeysValues | None,
    positions: Positions,
    context_positions: Positions,
    before: int | Int[Array, ""],
) -> tuple[Any, Any]:
    """The positions of x, from `before` unless given, and of a context that is not yet projected, from 0.

    Raises ValueError where one of the two would be guessed beside the other.
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
        positions = jnp.arange(x.shape[-2]) + before
    return positions, positions if context is None else context_positions


def require_offsets(cache: Any, *rules: Any) -> None:
    """Raises ValueError for masks and scores without an offset, where a cache is known to hold tokens."""
    if cache is None or isinstance(cache.length, jax.core.Tracer) or cache.length == 0:
        return
    for node in _from_zero(rules):
        raise ValueError(
            f"{node!r} with a cache of {cache.length} tokens: its queries would stand at 0, "
            "expected offset=cache.length"
        )


def nan_without_offsets(out: Float[Array, "..."], cache: Any, *rules: Any) -> Float[Array, "..."]:
    """out, but NaN where a traced length turns out to be one that `require_offsets` would refuse."""
    if cache is None or not isinstance(cache.length, jax.core.Tracer) or not _from_zero(rules):
        return out
    return jnp.where(cache.length == 0, out, jnp.full_like(out, jnp.nan))


def filled_slots(mask: Any, length: Int[Array, ""]) -> Mask:
    """The mask without the slots of a cache that hold no token yet."""
    filled = masks.lengths(key=length)
    return filled if mask is None else as_mask(mask) & filled


def as_mask(mask: Any) -> Mask:
    """Returns a mask of ops; a boolean array becomes one."""
    return mask if isinstance(mask, Mask) else masks.dense(mask)


def _from_zero(rules: Any) -> list[Any]:
    """The nodes that count positions from 0. An array is trusted: who computed one has thought of it."""
    nodes: list[Any] = jax.tree.leaves(rules, is_leaf=_has_offset)
    return [x for x in nodes if _has_offset(x) and isinstance(x.offset, int) and x.offset == 0]


def _has_offset(x: Any) -> bool:
    return isinstance(x, PytreeNode) and hasattr(x, "offset")
