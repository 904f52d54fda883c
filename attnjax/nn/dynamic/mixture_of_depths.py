"""Mixture of depths: few tokens pass through a layer, which a router chooses; the others pass it by."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.base import require_kind, require_width
from attnjax.nn.attention.cache import KVCache, StateCache
from attnjax.nn.attention.mask_reading import MaskReading, read_recurrent_mask
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike, following
from attnjax.nn.attention.settings import HeadNorm, Layout, Rope
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.feed_forward import FeedForward
from attnjax.nn.mixers.tokens import real_tokens, zero_padding
from attnjax.nn.norm import make_norm
from attnjax.nn.projection import into_heads
from attnjax.nn.training import losses_left
from attnjax.ops import masks
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype


class MixtureOfDepths(nnx.Module):
    """Mixture of depths (MoD): r_t·f(x)_t for the tokens that a router chooses, 0 for the others.

        r_t = x_t·w + b;  f: attention among the chosen tokens, and a feed-forward layer after it

    Under `attnjax.nn.training.in_training`, as in a task's loss, the share·T tokens of the highest r in each
    row are chosen, so that no others are computed. That looks ahead; elsewhere, decoding included, the rule
    is causal: a token is chosen where r_t > 0. A loss, `cost` times the binary cross-entropy of σ(r_t) to
    being among the highest, brings both together. The cache keeps the chosen tokens alone.

    A model that routes every other layer, as in the paper, has the mechanism softmax+mixture_of_depths; the
    feed-forward layers of its blocks are not routed.

    Args:
      dim, heads: D and N.
      share: of the tokens, chosen in training; at least one of a row.
      cost: of the router's loss.
      hidden: the width of the feed-forward layer in f; None: f is attention alone.
      kv_heads, head_dim, bias, qk_norm, rope, implementation: as in `SoftmaxAttention`.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: As in `SoftmaxAttention`; share is not in (0, 1]. When called, the mask is not causal.

    References:
      Raposo et al., Mixture-of-Depths: Dynamically Allocating Compute in Transformer-Based Language Models,
      2024, arXiv:2404.02258.

    Example:
      >>> from attnjax.nn.training import in_training
      >>> layer = MixtureOfDepths(8, 2, share=0.5, rngs=nnx.Rngs(0))
      >>> x = jax.random.normal(jax.random.key(0), (1, 6, 8))
      >>> with in_training() as losses:
      ...     out = layer(x, mask=masks.causal()).out
      >>> (out != 0).any(-1).sum().item(), len(losses)
      (3, 1)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        share: float = 0.125,
        cost: float = 0.01,
        hidden: int | None = None,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        qk_norm: bool | HeadNorm = False,
        rope: Layout | Rope | None = None,
        implementation: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share {share}: expected a number in (0, 1]")
        self.dim, self.share, self.cost = dim, share, cost
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.router = into_heads(dim, {"pair": 1}, **common)
        self.attention = SoftmaxAttention(
            dim,
            heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            bias=bias,
            qk_norm=qk_norm,
            rope=rope,
            implementation=implementation,
            **common,
        )
        self.norm = None if hidden is None else make_norm("layer", dim, **common)
        self.feed_forward = (
            None if hidden is None else FeedForward(dim, count("hidden", hidden), bias=bias, **common)
        )

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        *,
        mask: MaskLike | None = None,
        cache: KVCache | StateCache | None = None,
    ) -> AttentionOutput:
        """Computes what the chosen tokens get.

        Args:
          x: the tokens.
          mask: causal(), lengths(key=…), ~lengths(key=…) and segments(ids), joined by &.
          cache: earlier tokens of the same sequence.

        Raises:
          ValueError: x is not D wide; the mask has no causal(), other parts, or does not fit the cache.
          TypeError: The cache is of another kind.
        """
        require_width("x", x, self.dim)
        require_kind(cache, StateCache, "mixture_of_depths")
        kept = cache if isinstance(cache, StateCache) else None
        batch, tokens = x.shape[:-2], x.shape[-2]
        reading = read_recurrent_mask(mask, "mixture_of_depths", kept, batch)
        real = jnp.ones((*batch, tokens), bool)
        padded = real_tokens(reading, tokens)
        real, x = real if padded is None else real & padded, zero_padding(x, padded)
        raw = self.router(x)[..., 0]
        logits = raw.astype(accumulation_dtype(raw))
        chosen, size = self._chosen(logits, real)
        place = jnp.arange(tokens, dtype=jnp.int32)
        order = jnp.argsort(jnp.where(chosen, place, tokens + place), axis=-1)[..., :size]
        out = self._of_chosen(x, order, chosen.sum(-1, dtype=jnp.int32), reading, kept)
        changed = out.out * jnp.take_along_axis(logits, order, -1)[..., None].astype(x.dtype)
        rank = jnp.clip(jnp.cumsum(chosen, axis=-1) - 1, 0, size - 1)
        back = jnp.where(chosen[..., None], jnp.take_along_axis(changed, rank[..., None], -2), 0)
        if kept is None:
            return AttentionOutput(back)
        return AttentionOutput(back, StateCache(out.cache, {}, kept.length + real.sum(-1, dtype=jnp.int32)))

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> StateCache:
        """Returns a cache for so many tokens, all of which may be chosen."""
        kept = self.attention.empty_cache(batch, capacity, dtype)
        return StateCache(kept, {}, jnp.zeros(batch, jnp.int32))

    def _chosen(
        self, logits: Float[Array, "*B T"], real: Bool[Array, "*B T"]
    ) -> tuple[Bool[Array, "*B T"], int]:
        """Returns which tokens are chosen, and the most that they can be."""
        losses, tokens = losses_left(), logits.shape[-1]
        if losses is None:
            return (logits > 0) & real, tokens
        size = max(1, round(self.share * tokens))
        _, best = jax.lax.top_k(jnp.where(real, logits, -jnp.inf), size)
        chosen = (jax.nn.one_hot(best, tokens, dtype=jnp.int32).sum(-2) > 0) & real
        apart = jax.nn.softplus(jnp.where(chosen, -logits, logits))
        losses.append(self.cost * (apart * real).sum() / jnp.maximum(real.sum(), 1))
        return chosen, size

    def _of_chosen(
        self, x: Array, order: Array, chosen: Array, reading: MaskReading, kept: StateCache | None
    ) -> AttentionOutput:
        """Returns f of the tokens in this order, of which the first `chosen` count."""
        before: Any = 0 if kept is None else kept.state.length
        mask = masks.causal(before) & masks.lengths(key=before + chosen)
        if reading.segment_ids is not None:
            ids = jnp.broadcast_to(jnp.asarray(reading.segment_ids), x.shape[:-1])
            mask = mask & masks.segments(jnp.take_along_axis(ids, order, -1))
        start = 0 if kept is None else kept.length
        places = jnp.broadcast_to(following(start, x.shape[-2]), x.shape[:-1])
        rope = self.attention.rope
        own = self.attention(
            jnp.take_along_axis(x, order[..., None], -2),
            mask=mask,
            positions=None if rope is None else jnp.take_along_axis(places, order, -1),
            cache=None if kept is None else kept.state,
        )
        if self.feed_forward is None or self.norm is None:
            return own
        inside = jnp.take_along_axis(x, order[..., None], -2) + own.out
        return own._replace(out=own.out + self.feed_forward(self.norm(inside)))
