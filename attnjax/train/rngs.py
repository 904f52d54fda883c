"""Named random streams: a key is a function of (seed, stream, step), so that resuming needs only the step."""

import enum

import jax
from jaxtyping import Array, Int, Key


class Stream(enum.IntEnum):
    """The uses of randomness. The numbers are part of a run's identity: never renumber them."""

    INIT = 0
    DROPOUT = 1


def stream_key(seed_key: Key[Array, ""], stream: Stream, step: int | Int[Array, ""] = 0) -> Key[Array, ""]:
    """`fold_in(fold_in(seed_key, stream), step)`.

    >>> seed_key = jax.random.key(0)
    >>> bool(stream_key(seed_key, Stream.DROPOUT, 1) == stream_key(seed_key, Stream.INIT, 1))
    False
    """
    return jax.random.fold_in(jax.random.fold_in(seed_key, stream), step)
