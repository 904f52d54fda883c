"""The layer of Native Sparse Attention."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.base import require_kind
from attnjax.nn.attention.cache import KeysValues, KVCache, write_rows
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.attention.settings import Settings
from attnjax.nn.axes import named
from attnjax.nn.latent.causal import finite
from attnjax.nn.projection import into_heads
from attnjax.nn.sparse.base import ChosenAttention, PlacedTokens, at_least_one
from attnjax.ops import masks
from attnjax.ops.attention import attention, attention_weights
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.masks import Mask
from attnjax.ops.sparse import nsa_blocks
from attnjax.ops.sparse.blocks import BlockMembers, blocks_of, in_blocks


class Compression(nnx.Module):
    """A vector of each block of tokens: W₂ gelu(W₁ [x_1 + e_1, …, x_l + e_l] + b₁) + mean of x.

    Args:
      size: l, tokens of a block.
      channels: of a token's vector and of its block's.
      dtype: of the computation; None is what vectors and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws them.

    Example:
      >>> Compression(4, 8, rngs=nnx.Rngs(0))(jnp.ones((2, 4, 1, 8))).shape
      (2, 1, 8)
    """

    def __init__(
        self,
        size: int,
        channels: int,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        small = nnx.initializers.normal(0.02)
        self.positions = nnx.Param(
            small(rngs.params(), (size, channels), param_dtype), **named("width", "head_dim")
        )
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.up = into_heads(size * channels, {"rank": channels}, source="head_dim", **common)
        self.down = into_heads(channels, {"head_dim": channels}, source="rank", bias=False, **common)

    def __call__(self, tokens: Float[Array, "*B l K H"]) -> Float[Array, "*B K H"]:
        """Returns the vectors of blocks."""
        moved = jnp.moveaxis(tokens, -3, -2)
        moved = moved + of_rank(self.positions[...].astype(tokens.dtype), moved.ndim)
        hidden = jax.nn.gelu(self.up(moved.reshape(*moved.shape[:-2], -1)))
        return self.down(hidden) + tokens.mean(axis=-3)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CompressedKVCache(KVCache):
    """A cache with vectors of blocks beside keys and values; those of blocks that are not whole are any."""

    block_keys: Float[Array, "*B blocks K H"]
    block_values: Float[Array, "*B blocks K V"]


class _WithBlocks(NamedTuple):
    """The keys and values of a cache with the vectors of their blocks."""

    keys: Float[Array, "*B S K H"]
    values: Float[Array, "*B S K V"]
    block_keys: Float[Array, "*B blocks K H"]
    block_values: Float[Array, "*B blocks K V"]


class NSA(ChosenAttention):
    """Three attentions of each query over the same keys and values, added up through gates of the query.

        out = σ(g_c) attention to compressed blocks + σ(g_s) to selected blocks + σ(g_w) to a window

    Compressed: a learned vector of each whole block before the query. Selected: the tokens of `count` blocks,
    the same for all heads that share a key head: the query's own, the one before, the first, and those to
    whose vectors the heads give most weight. Window: the last `window` tokens. The selection has no gradient,
    the compressed vectors that it is made by have one through the first attention, as in the paper. Unlike
    there, blocks do not overlap, and the three attentions share keys and values.

    A block that holds padding or two documents is not compressed, and is selected by its place alone. A cache
    keeps the vectors of the blocks too: a step compresses the block that it adds to, and no other.

    Args:
      dim, heads: D and N.
      size: of a block, in tokens.
      count: the blocks selected.
      window: tokens, the reading one included.
      settings: those of `SoftmaxAttention`.

    Raises:
      ValueError: As in `SoftmaxAttention`, or size, count or window is below 1.

    References:
      Yuan et al., Native Sparse Attention: Hardware-Aligned and Natively Trainable Sparse Attention, 2025,
      arXiv:2502.11089.

    Example:
      >>> layer = NSA(8, 4, kv_heads=2, size=2, count=3, window=2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 9, 8)), mask=masks.causal()).out.shape
      (1, 9, 8)
    """

    name = "nsa"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        size: int = 64,
        count: int = 16,
        window: int = 512,
        rngs: nnx.Rngs,
        **settings: Unpack[Settings],
    ) -> None:
        self.size, self.count, self.last = at_least_one(size=size, count=count, window=window)
        super().__init__(dim, heads, rngs=rngs, **settings)
        self.has_weights = False
        common: dict[str, Any] = {
            "dtype": settings.get("dtype"),
            "param_dtype": settings.get("param_dtype", jnp.float32),
            "rngs": rngs,
        }
        self.of_keys = Compression(size, self.head_dim, **common)
        self.of_values = Compression(size, self.value_dim, **common)
        self.gate = into_heads(dim, {"heads": heads, "levels": 3}, **common)

    def __call__(self, x: Any, context: Any = None, *, cache: Any = None, **options: Any) -> AttentionOutput:
        """Attends from every token of x; arguments as in `ChosenAttention`."""
        require_kind(cache, CompressedKVCache, self.name)
        return super().__call__(x, context, cache=cache, **options)

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> CompressedKVCache:
        """Returns a cache of `capacity` free slots for tokens of this dtype, and of their blocks."""
        empty = super().empty_cache(batch, capacity, dtype)
        blocks = -(-capacity // self.size)
        rows = [jnp.zeros((*batch, blocks, *x.shape[-2:]), dtype) for x in (empty.keys, empty.values)]
        return CompressedKVCache(empty.keys, empty.values, empty.length, *rows)

    def _remembered(
        self,
        x: Array,
        query: Array,
        new: KeysValues,
        cache: Any,
        count: Int[Array, "*B"] | None,
        rules: dict[str, Any],
    ) -> tuple[Any, Any]:
        source, kept = super()._remembered(x, query, new, cache, count, rules)
        if cache is None:
            return source, None
        first, tokens = cache.length // self.size, new.keys.shape[-3]
        # A call makes at most so many blocks whole, wherever it begins.
        touched = -(-tokens // self.size)
        place = first[..., None] * self.size + of_rank(jnp.arange(touched * self.size), first.ndim + 1)
        blocks = []
        for held, rows, compress in (
            (source.keys, cache.block_keys, self.of_keys),
            (source.values, cache.block_values, self.of_values),
        ):
            index = jnp.clip(place, 0, held.shape[-3] - 1)[..., None, None]
            cut = in_blocks(finite(jnp.take_along_axis(held, index, axis=-3)), self.size, axis=-3)
            blocks.append(write_rows(rows, compress(cut), first))
        return _WithBlocks(*source, *blocks), CompressedKVCache(kept.keys, kept.values, kept.length, *blocks)

    def _attended(
        self,
        x: Array,
        query: Array,
        source: KeysValues | _WithBlocks,
        rules: dict[str, Any],
        given: MaskLike | None,
    ) -> tuple[Float[Array, "*B T N V"], None]:
        kept = source if isinstance(source, _WithBlocks) else None
        source = KeysValues(*(heads.astype(query.dtype) for heads in source[:2]))
        rules = rules | {"memory": self.memory}
        for what in ("score", "normalizer", "comparison", "memory"):
            if rules[what] is not None:
                raise ValueError(f"{what} is {rules[what]!r}: nsa takes none, its attentions are softmaxes")
        tokens = self._tokens(given, query.shape[-3], source.keys.shape[-3])
        blocks = blocks_of(tokens.ids, self.size)
        if kept is None:
            keys = self.of_keys(self._whole(source.keys, blocks))
            values = self.of_values(self._whole(source.values, blocks))
        else:
            keys, values = (rows.astype(query.dtype) for rows in (kept.block_keys, kept.block_values))
        options = {"scale": rules["scale"], "implementation": rules["implementation"]}
        compressed = self._compressed(tokens, blocks)
        weights = attention_weights(
            *jax.lax.stop_gradient((query, keys)), mask=compressed, scale=rules["scale"]
        )
        index = nsa_blocks(
            weights, self.count, key_heads=self.kv_heads, size=self.size, positions=tokens.positions
        )
        chosen = rules["mask"] & masks.chosen_blocks(index, (1, self.size))
        near = rules["mask"] & masks.sliding_window(self.last - 1, 0, tokens.offset)
        heads = (
            attention(query, keys, values, mask=compressed, **options),
            attention(query, *source, mask=chosen, **options),
            attention(query, *source, mask=near, **options),
        )
        gates = jax.nn.sigmoid(self.gate(x))
        out: Any = sum(gates[..., i, None] * head for i, head in enumerate(heads))
        return out, None

    def _whole(self, tokens: Array, blocks: BlockMembers) -> Array:
        """Returns the tokens in blocks, 0 in those that are not compressed."""
        cut = in_blocks(tokens, self.size, axis=-3)
        return jnp.where(blocks.whole[..., None, None, None], cut, 0)

    def _compressed(self, tokens: PlacedTokens, blocks: BlockMembers) -> Mask:
        """Returns the mask by which a query attends to whole blocks of its document that end no later."""
        ends: Any = (np.arange(blocks.ids.shape[-1], dtype=np.int32) + 1) * self.size - 1
        of_blocks = jnp.where(blocks.whole, blocks.ids, -1)
        query_ids = jnp.where(tokens.query_ids < 0, -2, tokens.query_ids)
        past = masks.relabel(masks.causal(), tokens.positions, ends)
        return past & masks.segments(query_ids, of_blocks)
