"""The base of layers whose queries choose keys at run time: what their masks say of tokens."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache
from attnjax.nn.attention.mask_reading import read_mask
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike, following
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.ops.core.checks import count
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.sparse.blocks import ids_at


class PlacedTokens(NamedTuple):
    """The tokens of a call.

    Attributes:
      offset: the position of the first query among the keys, a number where it is known.
      positions: [*#B, T], of the queries.
      ids: [*#B, S], of the documents of the keys, below 0 for what is no token.
    """

    offset: int | Int[Array, "*#B"]
    positions: Int[Array, "*#B T"]
    ids: Int[Array, "*#B S"]

    @property
    def query_ids(self) -> Int[Array, "*#B T"]:
        """Of the documents of the queries."""
        return ids_at(self.ids, self.positions)


class ChosenAttention(SoftmaxAttention):
    """Causal self-attention whose queries choose at run time which keys they look at.

    It takes masks of causal(), lengths(key=…), ~lengths(key=…) and segments(ids), joined by &: a choice is
    made among the tokens that these leave, so that neither padding nor another document takes part in it.

    Args:
      dim, heads: D and N.
      settings: those of `SoftmaxAttention`.

    Raises:
      ValueError: As in `SoftmaxAttention`.
    """

    name: ClassVar[str]

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S D"] | KeysValues | None = None,
        *,
        mask: MaskLike | None = None,
        cache: KVCache | StateCache | None = None,
        **options: Any,
    ) -> AttentionOutput:
        """Attends from every token of x; arguments as in `SoftmaxAttention`, but for a context.

        Raises:
          ValueError: A context is given, or the mask has no causal() in it, or other parts than it may have.
        """
        self._require_own(mask, context=context, values=options.get("values"))
        return super().__call__(x, mask=mask, cache=cache, **options)

    def _require_own(self, mask: Any, **others: Any) -> None:
        """Raises ValueError for tokens that are not x's, and for a mask that is not causal."""
        for what, given in others.items():
            if given is not None:
                raise ValueError(f"{what} is given: {self.name} takes none, it is of self-attention")
        if not read_mask(mask, self.name).causal:
            raise ValueError(f"mask {mask!r}: {self.name} is causal only, expected causal() in it")

    def _tokens(self, mask: Any, queries: int, keys: int) -> PlacedTokens:
        """Returns the tokens of a call under a mask of the caller."""
        reading = read_mask(mask, self.name)
        offset = reading.offset
        # Known positions stay known while tracing.
        known = isinstance(offset, int)
        positions = np.arange(queries, dtype=np.int32) + offset if known else following(offset, queries)
        place = jnp.arange(keys, dtype=jnp.int32)
        ids = jnp.zeros_like(place) if reading.segment_ids is None else jnp.asarray(reading.segment_ids)
        ids = jnp.maximum(ids, 0) if reading.segment_ids is None else _from_zero(ids)
        for edge, padding in ((reading.lengths, jnp.greater_equal), (reading.starts, jnp.less)):
            if edge is not None:
                edge = jnp.asarray(edge)[..., None]
                rank = max(edge.ndim, ids.ndim)
                edge, ids = of_rank(edge, rank), of_rank(ids, rank)
                ids = jnp.where(padding(of_rank(place, rank), edge), -1, ids)
        return PlacedTokens(offset, positions, ids)  # type: ignore[arg-type]


def _from_zero(ids: Array) -> Array:
    """Returns ids of documents moved so that none is below 0."""
    return ids - ids.min()


def at_least_one(**options: int) -> tuple[int, ...]:
    """Returns the options of a layer. Raises ValueError for one that is below 1."""
    return tuple(count(name, value) for name, value in options.items())
