"""RWKV-6's time mixing: its recurrence with what the paper puts around it."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array

from attnjax.nn.attention.cache import StateCache
from attnjax.nn.attention.head_norm import make_head_norm
from attnjax.nn.attention.settings import HeadNorm
from attnjax.nn.axes import named
from attnjax.nn.projection import into_heads, out_of_heads
from attnjax.nn.recurrent.base import RecurrentLayer, TokenRows
from attnjax.nn.recurrent.token_shift import LowRank, TokenShift
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.linear.members.rwkv6 import rwkv6

GROUP_NORM = HeadNorm("layer", gain="each", eps=64e-5)
"""Of what each head reads: a LayerNorm, with parameters of each channel."""


class RWKV6TimeMix(RecurrentLayer):
    """RWKV-6's layer: o_t = O (silu(g_t) ⊙ norm(rwkv6(r, k, v, decay, bonus)_t)).

    r, k, v, g and the decay are of five mixtures of the token with the one before it, whose shares depend on
    the token (`TokenShift`); the log-decay is -exp(w + tanh(x W) V).

    Args:
      dim: D.
      heads: N, a divisor of D.
      layer, layers: the number of the layer, from 0, of so many: shares and bonuses start by it.
      rank, decay_rank: of the shares' and of the decays' dependence on the token.
      bias: whether r, k, v, g and O have one; the paper's have none.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1; heads do not divide D.

    References:
      Peng et al., Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence, 2024,
      arXiv:2404.05892.

    Example:
      >>> from attnjax.ops import masks
      >>> layer = RWKV6TimeMix(8, 2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 8)), mask=masks.causal()).out.shape
      (2, 5, 8)
    """

    called: ClassVar[str] = "rwkv6_time_mix"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        layer: int = 0,
        layers: int = 1,
        rank: int = 32,
        decay_rank: int = 64,
        bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.heads = count("dim", dim), count("heads", heads)
        self.head_dim = require_divides(heads, dim)
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        axes, deep = {"heads": heads, "head_dim": self.head_dim}, layer / max(layers - 1, 1)
        place = jnp.arange(dim) / dim
        # Of the mixture that decides, and those for decay, key, value, receptance and gate.
        powers, more = (1, 1, 1, 1, 0.5, 0.5), (0, 0, 0, 0.3, 0, 0)
        starts = [
            1 - place ** (p * (1 - layer / layers)) - m * deep for p, m in zip(powers, more, strict=True)
        ]
        self.shift = TokenShift(dim, jnp.stack(starts), rank=rank, **common)
        self.receptance, self.key, self.value, self.gate = (
            into_heads(dim, axes, bias=bias, **common) for _ in range(4)
        )
        channel = jnp.arange(dim) / max(dim - 1, 1)
        speed = (-6 + 5 * channel ** (0.7 + 1.3 * deep)).reshape(heads, -1)
        self.decay = LowRank(dim, axes, decay_rank, jnp.tanh, speed, **common)
        bonus = deep * (1 - channel) + 0.1 * ((jnp.arange(dim, dtype=jnp.float32) + 1) % 3 - 1)
        self.bonus = nnx.Param(bonus.reshape(heads, -1).astype(param_dtype), **named(*axes))
        self.norm = make_head_norm(GROUP_NORM, heads, self.head_dim, **common)
        self.out = out_of_heads(axes, dim, bias=bias, **common)

    def _start(self, batch: tuple[int, ...], dtype: Any) -> dict[str, Array]:
        return empty_time_mix(batch, self.heads, self.head_dim, dtype)

    def _read(
        self, x: Array, before: StateCache, rows: TokenRows, depth: Any
    ) -> tuple[Array, dict[str, Array]]:
        mixed = self.shift(x, rows.previous(before.state["last"], x))
        of_decay, of_key, of_value, of_receptance, of_gate = mixed
        raw = self.decay(of_decay)
        heads, memory = rwkv6(
            self.receptance(of_receptance),
            self.key(of_key),
            self.value(of_value),
            decay=-jnp.exp(raw.astype(accumulation_dtype(raw))),
            bonus=self.bonus[...],
            initial_state=before.state["memory"],
            return_state=True,
            **rows.options,
        )
        out = self.out(self.norm(heads) * jax.nn.silu(self.gate(of_gate)))
        return out, {"memory": memory, "last": rows.last(before.state["last"], x)}


def require_divides(heads: int, dim: int) -> int:
    """Returns the size of a head. Raises ValueError where heads do not divide D."""
    if dim % heads:
        raise ValueError(f"heads {heads}: expected a divisor of dim ({dim})")
    return dim // heads


def empty_time_mix(batch: tuple[int, ...], heads: int, size: int, dtype: Any) -> dict[str, Array]:
    """Returns the state before the first token: what a recurrence holds, and the token before."""
    memory = jnp.zeros((*batch, heads, size, size), accumulation_dtype(dtype))
    return {"memory": memory, "last": jnp.zeros((*batch, heads * size), dtype)}
