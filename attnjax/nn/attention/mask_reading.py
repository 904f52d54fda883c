"""What a recurrence can do with a mask: its order is in the mask's parts, not in pairs of tokens."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnjax.ops import masks
from attnjax.ops.masks import Mask
from attnjax.ops.masks.base import And
from attnjax.ops.masks.content import Lengths, Segments
from attnjax.ops.masks.positional import Window

_TAKES = "expected causal(), lengths(key=…) and segments(ids), one of each, joined by &"


class MaskReading(NamedTuple):
    """Whether tokens see only those before them; how many keys a row has; which segment each token is in."""

    causal: bool = False
    offset: Any = 0
    lengths: Any = None
    segment_ids: Any = None


def read_mask(mask: Any, mechanism: str) -> MaskReading:
    """The mask as a recurrence takes it; None lets every token see all.

    Raises:
      ValueError: the mask has other parts than causal, lengths of keys and segments, or two of one kind.

    >>> from attnjax.ops import masks
    >>> read_mask(masks.causal() & masks.lengths(key=3), "gla")
    MaskReading(causal=True, offset=0, lengths=3, segment_ids=None)
    """
    reading: dict[str, Any] = {}
    for part in _parts(mask):
        read = _read(part)
        if read is None or read.keys() & reading.keys():
            raise ValueError(f"mask {part if isinstance(part, Mask) else 'array'}: {_TAKES} for {mechanism}")
        reading |= read
    return MaskReading(**reading)


def without_causal(mask: Any) -> tuple[MaskReading, Any]:
    """Returns whether a mask joins causal() by &, with what offset, and the mask of its other parts.

    >>> from attnjax.ops import masks
    >>> reading, others = without_causal(masks.causal(2) & masks.lengths(key=3))
    >>> reading.causal, reading.offset, others
    (True, 2, lengths(key=3))
    """
    reading, others = MaskReading(), None
    for part in _parts(mask):
        read = _read(part) or {}
        if "causal" in read and not reading.causal:
            reading = MaskReading(**read)
        else:
            part = part if isinstance(part, Mask) else masks.dense(part)
            others = part if others is None else others & part
    return reading, others


def known_to_differ(x: Any, y: Any) -> bool:
    """Whether two values, which may be traced, are certainly not the same."""
    if isinstance(x, jax.core.Tracer) or isinstance(y, jax.core.Tracer):
        return False
    return not np.array_equal(x, y)


def _parts(mask: Any) -> Iterator[Any]:
    if isinstance(mask, And):
        yield from _parts(mask.left)
        yield from _parts(mask.right)
    elif mask is not None:
        yield mask


def _read(part: Any) -> dict[str, Any] | None:
    if isinstance(part, Window) and part.left is None and part.right == 0 and jnp.ndim(part.offset) == 0:
        return {"causal": True, "offset": part.offset}
    if isinstance(part, Lengths) and part.query is None:
        return {"lengths": part.key}
    if isinstance(part, Segments) and part.key_ids is None:
        return {"segment_ids": part.query_ids}
    return None
