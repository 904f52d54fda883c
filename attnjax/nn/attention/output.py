"""What an attention layer gives back."""

from typing import Any, NamedTuple

from jaxtyping import Array, Float

from attnjax.nn.attention.cache import KVCache, StateCache


class AttentionOutput(NamedTuple):
    """What one attention layer gives: its output, the cache it leaves, the weights that were asked for."""

    out: Float[Array, "*B T D"]
    cache: KVCache | StateCache | None
    weights: Float[Array, "*B N T S"] | None


def without_none(first: Any, *rest: Any) -> Any:
    """first alone, or with those of the rest that are not None as a tuple."""
    given = tuple(part for part in rest if part is not None)
    return (first, *given) if given else first
