"""The layer of DeepSeek Sparse Attention."""

from dataclasses import dataclass
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.base import require_kind, require_width
from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache, write_rows
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import following, kept_tokens
from attnjax.nn.attention.settings import Settings
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.axes import named
from attnjax.nn.projection import into_heads
from attnjax.nn.sparse.base import ChosenAttention, at_least_one
from attnjax.ops import masks
from attnjax.ops.sparse import dsa_tokens, index_scores


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class IndexedKVCache(KVCache):
    """A cache with the indexer's keys [*B, L, I] of the tokens beside keys and values."""

    index_keys: Float[Array, "*B L I"]


class Indexer(nnx.Module):
    """The lightning indexer: a few small heads with one key for all of them, and a gain of each head.

    Args:
      dim: D.
      heads: J.
      size: I, of a head.
      dtype: of the computation; None is what x and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws them.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        size: int,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.query = into_heads(dim, {"index_heads": heads, "head_dim": size}, bias=False, **common)
        self.key = into_heads(dim, {"head_dim": size}, bias=False, **common)
        self.key_norm = nnx.LayerNorm(
            size, epsilon=1e-6, scale_metadata=named("head_dim"), bias_metadata=named("head_dim"), **common
        )
        self.gain = into_heads(dim, {"index_heads": heads}, bias=False, **common)

    def keys(self, x: Float[Array, "*B T D"]) -> Float[Array, "*B T I"]:
        """Returns the keys of tokens."""
        keys: Array = self.key_norm(self.key(x))
        return keys


class DSA(ChosenAttention):
    """Attention to the `count` tokens that a lightning indexer ranks highest, the same for all heads.

        I_ts = Σ_j w_tj relu(q_tj·k_s),  out_t = softmax attention to the keys of the highest I_ts, s ≤ t

    The choice has no gradient, and so the indexer has none: as in the paper it learns from a loss of its
    own, `attnjax.ops.sparse.indexer_loss` between `scores(x)` and captured weights. Without that it stays as
    it was drawn. Here it reads x itself, not the compressed queries of a latent layer. The rope of the layer
    rotates the indexer's queries and keys too.

    Args:
      dim, heads: D and N.
      count: tokens that a query sees.
      index_heads: J.
      index_dim: I.
      settings: those of `SoftmaxAttention`.

    Raises:
      ValueError: As in `SoftmaxAttention`, or count, index_heads or index_dim is below 1.

    References:
      DeepSeek-AI, DeepSeek-V3.2: Pushing the Frontier of Open Large Language Models, 2025, arXiv:2512.02556.

    Example:
      >>> layer = DSA(8, 2, count=3, index_heads=2, index_dim=4, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 6, 8)), mask=masks.causal()).out.shape
      (1, 6, 8)
    """

    name = "dsa"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        count: int = 512,
        index_heads: int = 4,
        index_dim: int = 32,
        rngs: nnx.Rngs,
        **settings: Unpack[Settings],
    ) -> None:
        self.count, _, _ = at_least_one(count=count, index_heads=index_heads, index_dim=index_dim)
        super().__init__(dim, heads, rngs=rngs, **settings)
        if self.rope is not None:
            self.rope.require_fits(index_dim)
        self.indexer = Indexer(
            dim,
            index_heads,
            index_dim,
            dtype=settings.get("dtype"),
            param_dtype=settings.get("param_dtype", jnp.float32),
            rngs=rngs,
        )

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S D"] | KeysValues | None = None,
        *,
        mask: Any = None,
        positions: Any = None,
        cache: KVCache | StateCache | None = None,
        **options: Any,
    ) -> AttentionOutput:
        """Attends from every token of x; arguments as in `ChosenAttention`."""
        require_width("x", x, self.dim)
        self._require_own(mask, context=context, values=options.get("values"))
        require_kind(cache, IndexedKVCache, self.name)
        held: Any = cache
        index_query, index_keys = self._index(x, positions, 0 if held is None else held.length)
        if held is not None:
            count = kept_tokens(mask, held.length, x.shape[-2])
            index_keys = write_rows(held.index_keys, index_keys, held.length, count=count)
        tokens = self._tokens(mask, x.shape[-2], index_keys.shape[-2])
        index = dsa_tokens(
            index_query,
            index_keys,
            self.indexer.gain(x),
            self.count,
            positions=tokens.positions,
            ids=tokens.ids,
        )
        chosen = mask & masks.chosen_blocks(index, (1, 1), distinct=True)
        found = SoftmaxAttention.__call__(self, x, mask=chosen, positions=positions, cache=cache, **options)
        return found._replace(cache=None if held is None else _indexed(found.cache, index_keys))

    def scores(self, x: Float[Array, "*B T D"], positions: Any = None) -> Float[Array, "*B T T"]:
        """Returns the indexer's scores of all pairs of tokens, for its loss."""
        query, keys = self._index(x, positions, 0)
        return index_scores(query, keys, self.indexer.gain(x))

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> IndexedKVCache:
        """Returns a cache of `capacity` free slots for tokens of this dtype."""
        size = self.indexer.key_norm.num_features
        return _indexed(
            super().empty_cache(batch, capacity, dtype), jnp.zeros((*batch, capacity, size), dtype)
        )

    def _index(self, x: Array, positions: Any, before: Any) -> tuple[Array, Array]:
        """Returns the indexer's queries [*B, T, J, I] and keys [*B, T, I] of tokens."""
        query, keys = self.indexer.query(x), self.indexer.keys(x)
        if self.rope is None:
            return query, keys
        positions = following(before, x.shape[-2]) if positions is None else positions
        return self._rotated(query, positions), self._rotated(keys[..., None, :], positions)[..., 0, :]


def _indexed(cache: Any, index_keys: Array) -> IndexedKVCache:
    return IndexedKVCache(cache.keys, cache.values, cache.length, index_keys)
