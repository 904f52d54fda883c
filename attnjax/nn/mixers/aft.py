"""The attention-free Transformer: a softmax over tokens of each channel by itself."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.base import require_width
from attnjax.nn.attention.cache import KVCache, StateCache
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike, nan_where_wrong
from attnjax.nn.axes import named
from attnjax.nn.mixers.tokens import Seen, seen_tokens
from attnjax.nn.projection import into_heads
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype

ROWS_AT_ONCE = 8
"""Tokens that read at once: what is held is so many times S·D."""


class AFT(nnx.Module):
    """An attention-free layer: o_t = σ(q_t) ⊙ Σ_s exp(k_s + w_ts) ⊙ v_s / Σ_s exp(k_s + w_ts), then O.

    w_ts = a_t·b_s of the places t and s, which are parameters. Without them (rank 0) it is AFT-simple, with a
    window, beyond which w is 0, AFT-local, otherwise AFT-full.

    Args:
      dim: D.
      heads: not used.
      rank: of w.
      window: tokens on either side from which on w is 0; None: w is anywhere.
      max_length: the places that there are.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is out of its range.

    References:
      Zhai et al., An Attention Free Transformer, 2021, arXiv:2105.14103.

    Example:
      >>> layer = AFT(8, 1, rank=2, max_length=16, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 8))).out.shape
      (2, 5, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        rank: int = 64,
        window: int | None = None,
        max_length: int = 512,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.max_length = count("dim", dim), count("max_length", max_length)
        if rank < 0:
            raise ValueError(f"rank {rank}: expected 0 or more")
        self.rank = rank
        self.window = None if window is None else count("window", window)
        self.query, self.key, self.value, self.out = (
            into_heads(dim, {"embed": dim}, dtype=dtype, param_dtype=param_dtype, rngs=rngs) for _ in range(4)
        )

        def places() -> nnx.Param[Array]:
            start = 0.1 * jax.random.normal(rngs.params(), (max_length, rank), param_dtype)
            return nnx.Param(start, **named("position", "rank"))

        self.reading, self.read = places(), places()

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        *,
        mask: MaskLike | None = None,
        cache: KVCache | StateCache | None = None,
    ) -> AttentionOutput:
        """Mixes the tokens that the mask lets each of them see.

        Args:
          x: the tokens.
          mask: as in `SoftmaxAttention`, the same for all heads.
          cache: earlier tokens of the same sequence.

        Raises:
          ValueError: x is not D wide; there are more tokens than places; the mask does not fit the cache.
          TypeError: The cache is of another kind.
        """
        require_width("x", x, self.dim)
        seen = seen_tokens(self.key(x), self.value(x), mask, cache, mechanism="aft", most=self.max_length)
        query = self.query(x)
        mixed = _mixed(seen, self._of_places(seen)).astype(query.dtype)
        before = cache if isinstance(cache, KVCache) else None
        out = nan_where_wrong(self.out(jax.nn.sigmoid(query) * mixed), before, seen.cache, mask)
        return AttentionOutput(out, seen.cache)

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache:
        """Returns a cache of `capacity` free slots for tokens of this dtype."""
        return KVCache.empty(batch, capacity, kv_heads=1, head_dim=self.dim, dtype=dtype)

    def _of_places(self, seen: Seen) -> Float[Array, "*#B T S"]:
        slots = jnp.arange(seen.keys.shape[-2], dtype=jnp.int32)
        weights = self.reading[...][seen.at] @ self.read[...][slots].T
        if self.window is None:
            return weights
        return jnp.where(jnp.abs(seen.at[..., None] - slots) < self.window, weights, 0)


def _mixed(seen: Seen, of_places: Float[Array, "*#B T S"]) -> Float[Array, "*B T D"]:
    """Returns for each token the mean of the values it sees, each channel weighted by itself."""
    wide = accumulation_dtype(seen.keys)
    keys, values = seen.keys.astype(wide), seen.values.astype(wide)
    if 0 in seen.pairs.shape:
        return jnp.zeros((*seen.pairs.shape[:-1], keys.shape[-1]), wide)

    @jax.checkpoint
    def of_token(row: tuple[Array, Array]) -> Array:
        place, sees = row
        scores = jnp.where(sees[..., None], keys + place.astype(wide)[..., None], -jnp.inf)
        most = jax.lax.stop_gradient(scores.max(-2, keepdims=True))
        powers = jnp.exp(scores - jnp.where(jnp.isneginf(most), 0, most))
        total = powers.sum(-2)
        return (powers * values).sum(-2) / jnp.where(total == 0, 1, total)

    rows = jnp.moveaxis(jnp.broadcast_to(of_places, seen.pairs.shape), -2, 0), jnp.moveaxis(seen.pairs, -2, 0)
    return jnp.moveaxis(jax.lax.map(of_token, rows, batch_size=ROWS_AT_ONCE), 0, -2)
