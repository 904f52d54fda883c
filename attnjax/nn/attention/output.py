"""The output of an attention layer."""

from typing import NamedTuple

from jaxtyping import Array, Float

from attnjax.nn.attention.cache import KVCache, StateCache


class AttentionOutput(NamedTuple):
    """The output of one attention layer, whatever it was asked for.

    Attributes:
      out: [*B, T, D].
      cache: with the tokens of this call appended; None where no cache was given.
      weights: [*B, N, T, S] before dropout, of the heads and rows asked for; in a graph [*B, N, E], of its
        edges. None where no capture was given.
    """

    out: Float[Array, "*B T D"]
    cache: KVCache | StateCache | None = None
    weights: Float[Array, "*B N T S"] | None = None
