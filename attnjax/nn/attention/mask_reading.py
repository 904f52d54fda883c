"""Masks as a recurrence takes them: its order is in the mask's parts, not in pairs of tokens."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnjax.mechanisms.catalogue import find
from attnjax.nn.attention.cache import StateCache
from attnjax.ops import masks
from attnjax.ops.masks import Mask
from attnjax.ops.masks.base import And, Not
from attnjax.ops.masks.content import Lengths, Segments
from attnjax.ops.masks.positional import Window

_TAKES = "expected causal(), lengths(key=…), ~lengths(key=…) and segments(ids), one of each, joined by &"


class MaskReading(NamedTuple):
    """A mask's parts.

    Attributes:
      causal: whether tokens see only those before them.
      offset: of causal().
      lengths: of each row's keys; None: all.
      starts: of each row's keys; the tokens before them are padding; None: 0.
      segment_ids: of each token; None: one segment.
    """

    causal: bool = False
    offset: Any = 0
    lengths: Any = None
    starts: Any = None
    segment_ids: Any = None


def read_mask(mask: Any, mechanism: str) -> MaskReading:
    """Returns the mask as a recurrence takes it; None lets every token see all.

    Raises:
      ValueError: The mask has other parts than causal, ends and starts of keys and segments, or two of
        one kind.

    Example:
      >>> from attnjax.ops import masks
      >>> read_mask(masks.causal() & masks.lengths(key=3), "gla")
      MaskReading(causal=True, offset=0, lengths=3, starts=None, segment_ids=None)
    """
    reading: dict[str, Any] = {}
    for part in parts(mask):
        read = _read(part)
        if read is None or read.keys() & reading.keys():
            raise ValueError(f"mask {part if isinstance(part, Mask) else 'array'}: {_TAKES} for {mechanism}")
        reading |= read
    return MaskReading(**reading)


def read_recurrent_mask(
    mask: Any, mechanism: str, cache: StateCache | None, batch: tuple[int, ...]
) -> MaskReading:
    """Returns the mask of a call whose lengths count from the first token of the call.

    Raises:
      ValueError: The mask, or the cache, does not fit the mechanism or each other.
    """
    reading = read_mask(mask, mechanism)
    if not reading.causal and find(mechanism).causal_only:
        raise ValueError(f"mask {mask!r}: {mechanism} is causal only, expected causal() in it")
    if cache is None:
        if reading.causal and known_to_differ(reading.offset, 0):
            raise ValueError(f"mask {mask!r}: expected causal() without an offset, there is no cache")
        return reading
    for leaf in jax.tree.leaves((cache.state, cache.tails)):
        if leaf.shape[: len(batch)] != batch:
            raise ValueError(f"cache holds {list(leaf.shape)}: x has the batch axes {list(batch)} (*B)")
    if not reading.causal or reading.segment_ids is not None:
        raise ValueError(f"mask {mask!r} with a cache: expected causal(cache.length), and no segments")
    if known_to_differ(reading.offset, cache.length):
        raise ValueError(f"mask {mask!r} with a cache: expected causal(cache.length), it is {cache.length}")
    if reading.lengths is None:
        return reading
    return reading._replace(lengths=jnp.maximum(reading.lengths - cache.length, 0))


def without_causal(mask: Any) -> tuple[MaskReading, Any]:
    """Returns the causal() that a mask joins by &, as a reading, and the mask of its other parts.

    Example:
      >>> from attnjax.ops import masks
      >>> reading, others = without_causal(masks.causal(2) & masks.lengths(key=3))
      >>> reading.causal, reading.offset, others
      (True, 2, lengths(key=3))
    """
    reading, others = MaskReading(), None
    for part in parts(mask):
        read = _read(part) or {}
        if "causal" in read and not reading.causal:
            reading = MaskReading(**read)
        else:
            part = part if isinstance(part, Mask) else masks.dense(part)
            others = part if others is None else others & part
    return reading, others


def require_causal(mask: Any, mechanism: str) -> None:
    """Raises ValueError for a mask without a causal() joined by &."""
    reading, _ = without_causal(mask)
    if not reading.causal:
        raise ValueError(f"mask {mask!r}: {mechanism} is causal only, expected causal() in it")


def looks_back(mask: Any) -> int | None:
    """Returns the most tokens before its own that a mask lets one see, where a window joined by & says so.

    None: all, or the mask holds arrays, which are of all tokens.

    Example:
      >>> looks_back(masks.causal() & masks.sliding_window(3, 0)), looks_back(masks.dilated(2))
      (3, None)
    """
    if jax.tree.leaves(mask):
        return None
    reach = [part.left for part in parts(mask) if isinstance(part, Window) and part.left is not None]
    return min(reach, default=None)


def known_to_differ(x: Any, y: Any) -> bool:
    """Returns True where two values, which may be traced, are certainly not the same."""
    if isinstance(x, jax.core.Tracer) or isinstance(y, jax.core.Tracer):
        return False
    return not np.all(np.equal(x, y))


def parts(mask: Any) -> Iterator[Any]:
    """Yields the parts that a mask joins by &."""
    if isinstance(mask, And):
        yield from parts(mask.left)
        yield from parts(mask.right)
    elif mask is not None:
        yield mask


def _read(part: Any) -> dict[str, Any] | None:
    if isinstance(part, Window) and part.left is None and part.right == 0:
        return {"causal": True, "offset": part.offset}
    if isinstance(part, Lengths) and part.query is None:
        return {"lengths": part.key}
    if isinstance(part, Not) and isinstance(part.mask, Lengths) and part.mask.query is None:
        return {"starts": part.mask.key}
    if isinstance(part, Segments) and part.key_ids is None:
        return {"segment_ids": part.query_ids}
    return None
