"""Selective attention: a token can tell all later ones not to look at an earlier one."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.cache import KeysValues, KVCache, write_rows
from attnjax.nn.attention.placing import as_mask, following
from attnjax.nn.latent.causal import CausalAttention
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.pairs import Sizes, block
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.scores import pair_bias


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SelectiveKVCache(KVCache):
    """A cache with what is taken from the scores of each token, and from which nothing is.

    `protected`: the tokens that saw none before themselves.
    """

    taken: Float[Array, "*B L"]
    protected: Bool[Array, "*B L"]


class SelectiveAttention(CausalAttention):
    """Selective attention: softmax(s - F) v, F_ij = Σ_{k<i} relu(s_kj) of the first head, for k > j.

    What the first head of a token gives an earlier one is taken from the scores of all heads of all tokens
    that follow. It has no parameters. From a token that sees none before itself, as the first of a sequence,
    nothing is taken; nor does a token take from itself. Scores s are scale·q·k, without what else modifies
    them.

    Args:
      dim, heads: D and N.
      settings: those of `SoftmaxAttention`.

    Raises:
      ValueError: As in `SoftmaxAttention`. When called, the mask is not causal, or a context is given.

    References:
      Leviathan et al., Selective Attention Improves Transformer, 2024, arXiv:2410.02703.

    Example:
      >>> from flax import nnx
      >>> from attnjax.ops import masks
      >>> layer = SelectiveAttention(8, 2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 5, 8)), mask=masks.causal()).out.shape
      (1, 5, 8)
    """

    called: ClassVar[str] = "selective"
    cache_kind: ClassVar[type[KVCache]] = SelectiveKVCache

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> SelectiveKVCache:
        """Returns a cache of `capacity` free slots for tokens of this dtype."""
        cache = super().empty_cache(batch, capacity, dtype)
        taken = jnp.zeros((*batch, capacity), accumulation_dtype(jnp.zeros((), dtype)))
        return SelectiveKVCache(
            cache.keys, cache.values, cache.length, taken, jnp.zeros((*batch, capacity), bool)
        )

    def _remembered(
        self,
        x: Array,
        query: Array,
        new: KeysValues,
        cache: Any,
        count: Int[Array, "*B"] | None,
        rules: dict[str, Any],
    ) -> tuple[KeysValues, Any]:
        source, kept = super()._remembered(x, query, new, cache, count, rules)
        tokens, slots = query.shape[-3], source.keys.shape[-3]
        before = 0 if cache is None else cache.length
        own = following(before, tokens)
        seen = pairs_seen(rules["mask"], query, source.keys)
        # Of the first head: [*B, T, S].
        first, key = (heads[..., 0, :].astype(accumulation_dtype(heads)) for heads in (query, source.keys))
        scale = 1 / math.sqrt(query.shape[-1]) if self.scale is None else self.scale
        scores = scale * jnp.einsum("...th,...sh->...ts", first, key)
        place = jnp.arange(slots, dtype=jnp.int32)
        earlier = of_rank(of_rank(place, own.ndim + 1) < own[..., None], seen.ndim)
        protected = ~(seen & earlier).any(-1)
        if cache is not None:
            protected = write_rows(cache.protected, protected, cache.length, count=count)
        takes = seen & earlier & ~protected[..., None, :]
        if count is not None:
            number = of_rank(jnp.arange(tokens, dtype=jnp.int32), count.ndim + 1)
            takes &= (number < count[..., None])[..., None]
        takes = jnp.where(takes, jax.nn.relu(jnp.where(takes, scores, 0)), 0)
        lost = jnp.cumsum(takes, axis=-2) - takes
        if cache is not None:
            lost = lost + cache.taken[..., None, :].astype(lost.dtype)
            total = cache.taken + takes.sum(-2).astype(cache.taken.dtype)
            kept = SelectiveKVCache(kept.keys, kept.values, kept.length, total, protected)
        rules["score"] = [pair_bias(-lost[..., None, :, :]), *(rules["score"] or ())]
        return source, kept


def pairs_seen(mask: Any, query: Array, keys: Array) -> Array:
    """Returns the pairs [*B, T, S] that the first head sees."""
    sizes = Sizes(query.shape[:-3], query.shape[-2], query.shape[-3], keys.shape[-3])
    at = block(sizes, jnp.arange(sizes.queries), jnp.arange(sizes.keys))
    seen = jnp.broadcast_to(as_mask(mask).bind(sizes).evaluate(at), (sizes.flat_batch, *sizes.pairs[-3:]))
    return seen[:, 0].reshape(*sizes.batch, sizes.queries, sizes.keys)
