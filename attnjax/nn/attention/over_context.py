"""Softmax attention of sequences that a mesh splits: the function which computes it there."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array, Float

from attnjax.nn.placed import axis_of_sequences
from attnjax.ops.attention import attention
from attnjax.ops.context.attention import context_attention
from attnjax.ops.context.decode import context_decode
from attnjax.ops.context.plan import JOINED


def over_context(
    attend: Callable[..., Any],
    query: Float[Array, "*B T N H"],
    keys: Float[Array, "*B S K H"],
    rules: Mapping[str, Any],
) -> Callable[..., Any]:
    """Returns the function in place of `attention` where the mesh splits sequences, else `attend`.

    That is `context_attention` where it splits both T and S. Where it splits S alone, as the slots of a cache
    that a step of decoding asks, it is `context_decode`, if that sends no more than gathering the keys would.

    An engine that was asked for by name is left to compute whole sequences, as is a comparison other than
    products, which shards do not have. So are windows and lines of an image, the tokens of which have more
    axes before them than that of the batch: they are no sequence that the mesh splits.
    """
    asked = rules["implementation"] is not None or rules["comparison"] is not None
    parts = query.ndim > 4
    if attend is not attention or asked or parts or axis_of_sequences(keys.shape[-3]) is None:
        return attend
    if axis_of_sequences(query.shape[-3]) is not None:
        return context_attention
    normalizer = rules["normalizer"]
    joins = normalizer is None or normalizer.route in JOINED
    few = math.prod(query.shape[-3:-1]) <= math.prod(keys.shape[-3:-1])
    return context_decode if joins and few else attend
