"""gMLP: a gate whose weights between tokens are parameters of their places."""

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
from attnjax.nn.mixers.tokens import seen_tokens
from attnjax.nn.norm import make_norm
from attnjax.nn.projection import into_heads
from attnjax.ops.core.checks import count
from attnjax.ops.core.ranks import of_rank


class GMLP(nnx.Module):
    """A gated MLP over tokens: O(u ⊙ (Σ_s w_ts v_s + b_t)), where [u, norm⁻¹(v)] = GELU(x U).

    w and b belong to places: every token at place t reads place s by the same number, which the mask can take
    away. They start near 0 and at 1, so that the layer begins as one of each token by itself.

    Args:
      dim: D.
      heads: not used.
      expansion: the width of u and v together is this times D; even times D.
      max_length: the places that there are.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1, or expansion times D is odd.

    References:
      Liu et al., Pay Attention to MLPs, 2021, arXiv:2105.08050.

    Example:
      >>> layer = GMLP(8, 1, max_length=16, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 8))).out.shape
      (2, 5, 8)
    """

    has_weights = False

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        expansion: int = 4,
        max_length: int = 512,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.max_length = count("dim", dim), count("max_length", max_length)
        self.width, odd = divmod(count("expansion", expansion) * dim, 2)
        if odd:
            raise ValueError(f"expansion {expansion} times dim {dim}: expected an even number")
        self.up = into_heads(dim, {"mlp": 2 * self.width}, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.out = into_heads(
            self.width, {"embed": dim}, source="mlp", dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        self.norm = make_norm(
            "layer", self.width, axis="mlp", dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        start = 1e-3 * jax.random.normal(rngs.params(), (max_length, max_length), param_dtype)
        self.weights = nnx.Param(start, **named("position", "position"))
        self.bias = nnx.Param(jnp.ones((max_length,), param_dtype), **named("position"))

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
        given, gate = jnp.split(jax.nn.gelu(self.up(x)), 2, axis=-1)
        gate = self.norm(gate)
        seen = seen_tokens(gate, gate[..., :0], mask, cache, mechanism="gmlp", most=self.max_length)
        weights = self.weights[...].astype(gate.dtype)[seen.at][..., : seen.keys.shape[-2]]
        bias = self.bias[...].astype(gate.dtype)[seen.at]
        mixed = jnp.where(seen.pairs, weights, 0) @ seen.keys
        mixed = mixed + of_rank(bias[..., None], mixed.ndim)
        before = cache if isinstance(cache, KVCache) else None
        out = nan_where_wrong(self.out(given * mixed), before, seen.cache, mask)
        return AttentionOutput(out, seen.cache)

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache:
        """Returns a cache of `capacity` free slots for tokens of this dtype."""
        return KVCache.empty(batch, capacity, kv_heads=1, head_dim=self.width, value_dim=0, dtype=dtype)
