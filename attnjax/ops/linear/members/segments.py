"""Places of tokens: their segment, and where in it they stand."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from attnjax.ops.linear.members.common import Options


class Places(NamedTuple):
    """The segment (0, 1, …) of every token of each batch row R, and the number of its tokens before this one.

    Padding stands where the last token does; `place` is -1 where there is none.
    """

    segment: Int[Array, "R T"]
    place: Int[Array, "R T"]


def places(batch: tuple[int, ...], length: int, options: Options) -> Places:
    """Returns the places of tokens by the options' segment ids and lengths.

    >>> print(places((), 5, {"segment_ids": jnp.array([7, 7, 3, 3, 3]), "lengths": 4}).place)
    [[0 1 0 1 1]]
    """
    rows, at = math.prod(batch), jnp.arange(length, dtype=jnp.int32)[None]
    ids = options.get("segment_ids")
    ids = jnp.broadcast_to(jnp.asarray(0 if ids is None else ids), (*batch, length)).reshape(rows, length)
    begins = jnp.pad(ids[:, 1:] != ids[:, :-1], ((0, 0), (1, 0)))[:, :length]
    segment = jnp.cumsum(begins, axis=1, dtype=jnp.int32)
    place = at - jax.lax.cummax(jnp.where(begins, at, 0), axis=1)
    lengths = options.get("lengths")
    if lengths is None:
        return Places(segment, place)
    last = jnp.broadcast_to(jnp.asarray(lengths, jnp.int32), batch).reshape(rows, 1) - 1
    stand = jnp.clip(jnp.minimum(at, last), 0)
    none = last < 0
    segment, place = (jnp.take_along_axis(x, stand, axis=1) for x in (segment, place))
    return Places(jnp.where(none, 0, segment), jnp.where(none, -1, place))
