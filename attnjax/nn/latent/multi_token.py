"""Multi-token attention: scores of neighbouring queries and keys decide together."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.settings import HeadNorm, Layout, Rope
from attnjax.nn.attention.sizes import require_sizes
from attnjax.nn.axes import named
from attnjax.nn.latent.causal import ScoredAttention, finite
from attnjax.nn.latent.selective import pairs_seen
from attnjax.nn.norm import make_norm
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.normalizers import talking_heads
from attnjax.ops.scores import pair_bias


class MultiTokenAttention(ScoredAttention):
    """Multi-token attention: softmax over scores that a kernel has mixed over queries and keys, per head.

        ŝ_ij = Σ_{a,b} θ[a, b] s_{i-a, j-b} over the pairs that the mask leaves (a = 0…, b around 0);
        w = softmax(ŝ), then mixed inside groups of heads; out = norm(w v) of each head

    Pairs of earlier queries count where i itself sees i-a, so that packed sequences stay apart. The kernel
    starts as 1 at (0, 0), the mixing as the identity. The paper scales the norm by depth; here it has a gain.
    There is no cache: earlier queries would have to be kept too.

    Args:
      dim, heads: D and N.
      queries, keys: sizes of the kernel θ.
      group: heads whose weights mix; it divides N.
      kv_heads, head_dim, bias, qk_norm, rope, implementation: as in `SoftmaxAttention`.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: As in `SoftmaxAttention`; the group does not divide the heads. When called, the mask is not
        causal, or a context is given.

    References:
      Golovneva et al., Multi-Token Attention, 2025, arXiv:2504.00927.

    Example:
      >>> from attnjax.ops import masks
      >>> layer = MultiTokenAttention(8, 2, queries=2, keys=3, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 5, 8)), mask=masks.causal()).out.shape
      (1, 5, 8)
    """

    called: ClassVar[str] = "multi_token"
    takes_no: ClassVar[tuple[str, ...]] = ("comparison", "normalizer")

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        queries: int = 6,
        keys: int = 11,
        group: int = 2,
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
        require_sizes(
            dim, heads, kv_heads=kv_heads, head_dim=head_dim, queries=queries, keys=keys, group=group
        )
        if heads % group:
            raise ValueError(f"group {group}: expected a divisor of heads ({heads})")
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        super().__init__(
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
        kernel = jnp.zeros((heads, queries, keys), param_dtype).at[:, 0, keys // 2].set(1)
        self.kernel = nnx.Param(kernel, **named("heads", "width", "width"))
        mixing = jnp.broadcast_to(jnp.eye(group, dtype=param_dtype), (heads // group, group, group))
        self.mixing = nnx.Param(mixing, **named("groups", "heads", "heads"))
        self.norm = make_norm("rms", self.value_dim, axis="head_dim", **common)

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> Any:
        """Raises ValueError: it needs all tokens at once."""
        raise ValueError("multi_token needs all tokens at once: there is no cache for one after another")

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
        shared = self.heads // self.kv_heads
        seen = pairs_seen(rules["mask"], query, source.keys)
        own, keys = (finite(x.astype(accumulation_dtype(x))) for x in (query, source.keys))
        keys = jnp.repeat(keys, shared, axis=-2)
        scores = jnp.einsum("...tnh,...snh->...nts", own, keys) / math.sqrt(query.shape[-1])
        mixed = _convolved(scores, self.kernel[...].astype(scores.dtype), seen)
        rules["score"] = [pair_bias(mixed), *(rules["score"] or ())]
        after = jax.scipy.linalg.block_diag(*self.mixing[...])
        rules["normalizer"] = talking_heads(jnp.eye(self.heads, dtype=after.dtype), after)
        return source, kept

    def _gated(self, heads: Array, x: Array) -> Array:
        return super()._gated(self.norm(heads), x)


def _convolved(
    scores: Float[Array, "*B N T T"], kernel: Float[Array, "N A C"], seen: Bool[Array, "*B T T"]
) -> Float[Array, "*B N T T"]:
    """Returns Σ_{a,b} θ[a, b] s_{i-a, j-b} over pairs that are seen, for b from -(C // 2) on."""
    tokens, (_, rows, columns) = scores.shape[-1], kernel.shape
    scores = jnp.where(seen[..., None, :, :], scores, 0)
    half = columns // 2
    # Of b those with which some pair is left: a kernel may be wider than the tokens.
    offsets = range(max(-half, 1 - tokens), min(columns - half, tokens))
    total = jnp.zeros_like(scores)
    for a in range(min(rows, tokens)):
        # Of the query `a` tokens before, where this one sees it.
        earlier = jnp.pad(scores[..., : tokens - a, :], [(0, 0)] * (scores.ndim - 2) + [(a, 0), (0, 0)])
        sees = jnp.diagonal(seen, -a, axis1=-2, axis2=-1)
        sees = jnp.pad(sees, [(0, 0)] * (sees.ndim - 1) + [(a, 0)])
        earlier = jnp.where(sees[..., None, :, None], earlier, 0)
        padded = jnp.pad(earlier, [(0, 0)] * (earlier.ndim - 1) + [(offsets[-1], -offsets[0])])
        for b in offsets:
            start = offsets[-1] - b
            part = jax.lax.slice_in_dim(padded, start, start + tokens, axis=-1)
            total = total + of_rank(kernel[:, a, b + half, None, None], part.ndim) * part
    return total
