"""RWKV-7's time mixing: its recurrence with what the paper puts around it."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.cache import StateCache
from attnjax.nn.attention.depth import Depth
from attnjax.nn.attention.gates import unit
from attnjax.nn.attention.head_norm import make_head_norm
from attnjax.nn.axes import named
from attnjax.nn.projection import into_heads, out_of_heads
from attnjax.nn.recurrent.base import RecurrentLayer, TokenRows
from attnjax.nn.recurrent.rwkv6 import GROUP_NORM, empty_time_mix, require_divides
from attnjax.nn.recurrent.token_shift import LowRank, TokenShift
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.members.rwkv7 import rwkv7

_FASTEST = math.exp(-0.5)
"""The highest rate at which a channel forgets, per token."""


class RWKV7TimeMix(RecurrentLayer):
    """RWKV-7's layer: o_t = O (g_t ⊙ (norm(rwkv7(r, k, v, …)_t) + (r_t·(ρ ⊙ k_t)) v_t)).

        log-decay = -e^(-½) σ(w + tanh(x W) V), κ = γ ⊙ key, learning rate a = σ(a₀ + x W V),
        k = key ⊙ (1 + (a - 1) ⊙ α), g = σ(x W) V, v = value + σ(ν + x W V) ⊙ (v¹ - value)

    r, key, value, the decay, a and g are of six mixtures of the token with the one before it (`TokenShift`).
    v¹ are the values of the first such layer of a stack; in the first layer, or alone, v is the value.

    Args:
      dim: D.
      heads: N, a divisor of D.
      layer, layers: the number of the layer, from 0, of so many: shares and decays start by it.
      rank, value_rank, gate_rank: of the maps of decay and learning rate, of ν, and of the gate.
      bias: whether r, key, value and O have one; the paper's have none.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1; heads do not divide D. When called, the first layer's values have another
        shape.

    References:
      Peng et al., RWKV-7 "Goose" with Expressive Dynamic State Evolution, 2025, arXiv:2503.14456.

    Example:
      >>> from attnjax.ops import masks
      >>> layer = RWKV7TimeMix(8, 2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 8)), mask=masks.causal()).out.shape
      (2, 5, 8)
    """

    called: ClassVar[str] = "rwkv7_time_mix"
    reads_depth: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        layer: int = 0,
        layers: int = 1,
        rank: int = 64,
        value_rank: int = 32,
        gate_rank: int = 128,
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
        # For receptance, decay, key, value, learning rate and gate.
        starts = [1 - place ** (p * (1 - layer / layers)) for p in (0.2, 0.9, 0.7, 0.7, 0.9, 0.2)]
        self.shift = TokenShift(dim, jnp.stack(starts), **common)
        self.receptance, self.key, self.value = (into_heads(dim, axes, bias=bias, **common) for _ in range(3))
        channel = jnp.arange(dim) / max(dim - 1, 1)
        speed = (-5.5 + 6 * channel ** (1 + deep**0.3)).reshape(heads, -1)
        self.decay = LowRank(dim, axes, rank, jnp.tanh, speed, **common)
        self.rate = LowRank(dim, axes, rank, _same, jnp.zeros_like(speed), **common)
        self.residual = LowRank(dim, axes, value_rank, _same, jnp.ones_like(speed), **common)
        self.gate = LowRank(dim, axes, gate_rank, jax.nn.sigmoid, **common)

        def channels(start: float) -> nnx.Param[Array]:
            return nnx.Param(jnp.full(speed.shape, start, param_dtype), **named(*axes))

        self.removal, self.share, self.bonus = channels(0.7), channels(1.0), channels(0.0)
        self.norm = make_head_norm(GROUP_NORM, heads, self.head_dim, **common)
        self.out = out_of_heads(axes, dim, bias=bias, **common)

    def _start(self, batch: tuple[int, ...], dtype: Any) -> dict[str, Array]:
        return empty_time_mix(batch, self.heads, self.head_dim, dtype)

    def _read(
        self, x: Array, before: StateCache, rows: TokenRows, depth: Depth | None
    ) -> tuple[Array, dict[str, Array]]:
        mixed = self.shift(x, rows.previous(before.state["last"], x))
        of_receptance, of_decay, of_key, of_value, of_rate, of_gate = mixed
        receptance, key = self.receptance(of_receptance), self.key(of_key)
        value = self._value(of_value, depth)
        decay, rate = (_wide_sigmoid(part) for part in (self.decay(of_decay), self.rate(of_rate)))
        removal, share, bonus = (
            of_rank(each[...].astype(key.dtype), key.ndim) for each in (self.removal, self.share, self.bonus)
        )
        written = key * (1 + (rate.astype(key.dtype) - 1) * share)
        heads, memory = rwkv7(
            receptance,
            written,
            value,
            decay=-_FASTEST * decay,
            removal=unit(key * removal),
            learning_rate=rate,
            initial_state=before.state["memory"],
            return_state=True,
            **rows.options,
        )
        own = (receptance * written * bonus).sum(-1, keepdims=True) * value
        out = self.out((self.norm(heads) + own) * self.gate(of_gate))
        return out, {"memory": memory, "last": rows.last(before.state["last"], x)}

    def _value(self, x: Array, depth: Depth | None) -> Float[Array, "*B T N H"]:
        own = self.value(x)
        if depth is None:
            return own
        if depth.values is None:
            depth.values = own
            return own
        if depth.values.shape != own.shape:
            shapes = [list(values.shape) for values in (depth.values, own)]
            raise ValueError(f"values of the first layer {shapes[0]}: expected {shapes[1]}, as they are here")
        share = jax.nn.sigmoid(self.residual(x)).astype(own.dtype)
        return own + share * (depth.values - own)


def _same(x: Array) -> Array:
    return x


def _wide_sigmoid(x: Array) -> Array:
    return jax.nn.sigmoid(x.astype(accumulation_dtype(x)))
