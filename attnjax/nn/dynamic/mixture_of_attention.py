"""Mixture of attention heads: each token is asked about by few of many heads, which a router chooses."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.settings import HeadNorm, Layout, Rope
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.projection import into_heads
from attnjax.nn.training import losses_left
from attnjax.ops.core.dtypes import accumulation_dtype


class MixtureOfAttention(SoftmaxAttention):
    """Mixture of attention heads (MoA): Σ g_e·head_e(x_t) over the `active` best of N heads for each token.

        g = softmax over the chosen of x_t R;  head_e(x_t) = softmax(q_e·k/√H) v U_e

    All heads share keys and values, so that few are held in the cache; only chosen heads attend. Queries of
    all heads are made first.

    Args:
      dim, heads: D and N, the number of experts.
      active: heads that each token is asked about by; None: half of them, rounded up.
      cost: of an uneven load, which is left for the loss in training (`in_training`); padding counts too.
      kv_heads: None or 1.
      head_dim, bias, qk_norm, rope, implementation: as in `SoftmaxAttention`.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: As in `SoftmaxAttention`; there are not so many heads.

    References:
      Zhang et al., Mixture of Attention Heads: Selecting Attention Heads Per Token, 2022, arXiv:2210.05144.

    Example:
      >>> layer = MixtureOfAttention(8, 6, active=2, head_dim=4, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 5, 8))).out.shape, layer.empty_cache((1,), 9, jnp.float32).keys.shape
      ((1, 5, 8), (1, 9, 1, 4))
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        active: int | None = None,
        cost: float = 0.01,
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
        if kv_heads not in (None, 1):
            raise ValueError(f"kv_heads {kv_heads}: expected None or 1, all heads share keys and values")
        self.cost, self.active = cost, -(-heads // 2) if active is None else active
        if self.active > heads:
            raise ValueError(f"active {active}: expected at most the heads ({heads})")
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        super().__init__(
            dim,
            heads,
            kv_heads=1,
            head_dim=head_dim,
            bias=bias,
            qk_norm=qk_norm,
            rope=rope,
            implementation=implementation,
            **common,
        )
        self.has_weights = False
        self.router = into_heads(dim, {"heads": heads}, bias=False, **common)

    def load(self, x: Float[Array, "*B T D"]) -> Float[Array, ""]:
        """Returns Σ_e f_e·p_e, which the loss adds times `cost`; evenly spread it is the least.

        f is the share of tokens that chose a head, p the mean of its softmax over all heads.
        """
        logits, chosen = self._routed(x)
        axes = tuple(range(x.ndim - 1))
        often = jax.nn.one_hot(chosen, self.heads, dtype=logits.dtype).sum(-2).mean(axes)
        return (often * jax.nn.softmax(logits, axis=-1).mean(axes)).sum()

    def _routed(self, x: Array) -> tuple[Float[Array, "*B T N"], Array]:
        """Returns the router's logits, in float32 or better, and the chosen heads [*B, T, active]."""
        raw = self.router(x)
        logits = raw.astype(accumulation_dtype(raw))
        return logits, jax.lax.top_k(logits, self.active)[1]

    def _queries(self, x: Float[Array, "*B T D"], positions: Any) -> Float[Array, "*B T A H"]:
        _, chosen = self._routed(x)
        return jnp.take_along_axis(super()._queries(x, positions), chosen[..., None], axis=-2)

    def _gated(self, heads: Float[Array, "*B T A V"], x: Array) -> Float[Array, "*B T N V"]:
        losses = losses_left()
        if losses is not None:
            losses.append(self.cost * self.load(x))
        logits, chosen = self._routed(x)
        gates = jax.nn.softmax(jnp.take_along_axis(logits, chosen, axis=-1), axis=-1)
        places = jax.nn.one_hot(chosen, self.heads, dtype=gates.dtype) * gates[..., None]
        return jnp.einsum("...an,...av->...nv", places.astype(heads.dtype), heads)
