"""PaTH attention: positions by what the tokens between query and key do to keys."""

import math
from dataclasses import replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Int

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.placing import following
from attnjax.nn.attention.settings import HeadNorm
from attnjax.nn.latent.causal import ScoredAttention, finite
from attnjax.nn.projection import into_heads
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.path import moved_keys, path_scores
from attnjax.ops.scores import pair_bias

_EPS = 1e-6


class PathAttention(ScoredAttention):
    """PaTH attention: softmax(q_i·M_i ⋯ M_{j+1} k_j/√H) v with M_l = I - β_l w_l w_lᵀ of every token.

    w = x W of length 1 and β = 2σ(x U + b) of each key/value head take the place of rotations: how far a key
    is depends on the tokens in between. The cache holds keys as the last token leaves them. The paper's layer
    has a short convolution on w too.

    Args:
      dim, heads: D and N.
      kv_heads, head_dim, bias, qk_norm, implementation: as in `SoftmaxAttention`; there is no rope.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: As in `SoftmaxAttention`. When called, the mask is not causal, or a context is given.

    References:
      Yang et al., PaTH Attention: Position Encoding via Accumulating Householder Transformations, 2025,
      arXiv:2505.16381.

    Example:
      >>> from attnjax.ops import masks
      >>> layer = PathAttention(8, 2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 5, 8)), mask=masks.causal()).out.shape
      (1, 5, 8)
    """

    called: ClassVar[str] = "path"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        qk_norm: bool | HeadNorm = False,
        implementation: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        super().__init__(
            dim,
            heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            bias=bias,
            qk_norm=qk_norm,
            implementation=implementation,
            **common,
        )
        axes = {"kv_heads": self.kv_heads}
        self.direction = into_heads(dim, axes | {"head_dim": self.head_dim}, bias=False, **common)
        self.strength = into_heads(dim, axes, **common)

    def _remembered(
        self,
        x: Array,
        query: Array,
        new: KeysValues,
        cache: Any,
        count: Int[Array, "*B"] | None,
        rules: dict[str, Any],
    ) -> tuple[KeysValues, Any]:
        raw, tokens = self.direction(x), x.shape[-2]
        raw = finite(raw.astype(accumulation_dtype(raw)))
        direction = raw * jax.lax.rsqrt((raw * raw).sum(-1, keepdims=True) + _EPS)
        strength = finite(2 * jax.nn.sigmoid(self.strength(x).astype(raw.dtype)))
        if count is not None:
            real = of_rank(jnp.arange(tokens, dtype=jnp.int32), count.ndim + 1) < count[..., None]
            strength = jnp.where(real[..., None], strength, 0)
        scale = 1 / math.sqrt(query.shape[-1])
        own = finite(query) * scale
        scores, moved = path_scores(own, finite(new.keys), direction, strength)
        source, kept = super()._remembered(x, query, new, cache, count, rules)
        if cache is not None:
            scores = _with_older(scores, moved, cache.keys, cache.length)
            at = following(cache.length, tokens)
            kept = replace(kept, keys=moved_keys(kept.keys, direction, strength, at))
        rules["score"] = [pair_bias(scores), *(rules["score"] or ())]
        return source, kept


def _with_older(scores: Array, moved: Array, keys: Array, length: Array) -> Array:
    """Returns scores [*B, N, T, L] of all slots: of those before `length` by the keys that a cache holds."""
    slots, tokens, shared = keys.shape[-3], scores.shape[-1], moved.shape[-2] // keys.shape[-2]
    older = jnp.repeat(finite(keys).astype(moved.dtype), shared, axis=-2)
    place = of_rank(jnp.arange(slots, dtype=jnp.int32), length.ndim + 1) - length[..., None]
    index = jnp.broadcast_to(jnp.clip(place, 0, tokens - 1)[..., None, None, :], (*scores.shape[:-1], slots))
    newer = jnp.take_along_axis(scores, index, axis=-1)
    before = jnp.einsum("...tnh,...snh->...nts", moved, older)
    return jnp.where((place < 0)[..., None, None, :], before, newer)
