"""Gates of the recurrent mechanisms, as `mechanisms.Gate` declares them.

A gate is called with the layer's input x [*B, T, D] and its keys. It returns the argument of the mechanism,
in float32 or better. A gate of tokens is f(x W + b), with W of low rank where every channel has a value. A
gate that all tokens share is f(b). Its range decides f, and b is such that the values start as declared:

    strength   sigmoid
    positive   softplus
    rate       -exp
    log_decay  logsigmoid / 16, as in GLA
    free       identity

A log-decay per head is rate · softplus(x W + b), as in Mamba-2 and Gated DeltaNet; one per channel is so
where the mechanism says it, as in Kimi Delta Attention, and W then has the rank of a head.

References:
  Yang et al., Gated Linear Attention Transformers with Hardware-Efficient Training, 2023, arXiv:2312.06635.
  Dao & Gu, Transformers are SSMs, 2024, arXiv:2405.21060 (Mamba-2).
  Yang et al., Gated Delta Networks: Improving Mamba2 with Delta Rule, 2024, arXiv:2412.06464.
  Kimi Team, Kimi Linear: An Expressive, Efficient Attention Architecture, 2025, arXiv:2510.26692.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.mechanisms import Gate
from attnjax.mechanisms.base import Decay
from attnjax.nn.axes import named
from attnjax.nn.projection import into_heads
from attnjax.ops.core.node import known
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.members.common import at_least_float32
from attnjax.ops.linear.members.performer import orthogonal_features

RANK = 16
TEMPERATURE = 16

_VALUE: Mapping[str, Callable[[Array], Array]] = {
    "strength": jax.nn.sigmoid,
    "positive": jax.nn.softplus,
    "rate": lambda x: -jnp.exp(x),
    "log_decay": lambda x: jax.nn.log_sigmoid(x) / TEMPERATURE,
    "free": lambda x: x,
}
# Of the declared start; elsewhere b starts at 0.
_INVERSE: Mapping[str, Callable[[Array], Array]] = {
    "positive": lambda x: jnp.log(jnp.expm1(x)),
    "rate": jnp.log,
    "free": lambda x: x,
}


def make_gate(
    gate: Gate,
    axes: Mapping[str, int],
    dim: int,
    *,
    decay: Decay | None = None,
    strength_bias: bool = True,
    **options: Any,
) -> nnx.Module:
    """Returns the module of a gate.

    Args:
      gate: its declaration.
      axes: names and lengths of the gate's axes after those of the tokens.
      dim: D.
      decay: the kind of a log-decay of tokens: "softplus" has a rate for each head, "logsigmoid" none; None:
        as the gate declares.
      strength_bias: whether a strength of tokens has a b.
      options: dtype, param_dtype and rngs.

    Example:
      >>> strength = make_gate(Gate("*B T K", "strength"), {"kv_heads": 2}, 8, rngs=nnx.Rngs(0))
      >>> strength(jnp.zeros((1, 2, 8)), None)[0, 0]
      Array([0.5, 0.5], dtype=float32)
    """
    if gate.range == "random":
        return RandomFeatures(*axes.values())
    if gate.range == "unit":
        return KeyDirection(axes, **options)
    if not gate.per_token:
        return Constant(gate, axes, **options)
    if gate.range == "log_decay" and (decay or gate.decay or _default(gate)) == "softplus":
        return StepDecay(gate, axes, dim, **options)
    return ProjectedGate(gate, axes, dim, bias=strength_bias or gate.range != "strength", **options)


class ProjectedGate(nnx.Module):
    """A gate f(x W + b) of every token; W = W₁W₂ has low rank where H is an axis.

    Args:
      gate: its declaration.
      axes: names and lengths of the gate's axes after those of the tokens.
      dim: D.
      rank: of W; GLA's is 16.
      bias: whether there is a b.
      rngs: draws the parameters.
      dtypes: dtype and param_dtype.
    """

    def __init__(
        self,
        gate: Gate,
        axes: Mapping[str, int],
        dim: int,
        *,
        rank: int = RANK,
        bias: bool = True,
        rngs: nnx.Rngs,
        **dtypes: Any,
    ) -> None:
        self.range = gate.range
        low_rank = "H" in gate.axes.split()
        self.down = into_heads(dim, {"rank": rank}, bias=False, rngs=rngs, **dtypes) if low_rank else None
        size, source = (rank, "rank") if low_rank else (dim, "embed")
        start = _start(gate)
        self.up = into_heads(size, axes, source=source, bias=bias, bias_init=start, rngs=rngs, **dtypes)

    def __call__(self, x: Float[Array, "*B T D"], key: Any) -> Array:
        """Returns the gate of each token."""
        raw = self.up(x if self.down is None else self.down(x))
        return _VALUE[self.range](at_least_float32(raw))


class Constant(nnx.Module):
    """A gate f(b), the same for all tokens.

    Args:
      gate: its declaration.
      axes: names and lengths of the gate's axes.
      dtype: not used; the gate is in float32 or better.
      param_dtype: of b.
      rngs: draws b.
    """

    def __init__(
        self,
        gate: Gate,
        axes: Mapping[str, int],
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.range = gate.range
        raw = _start(gate)(rngs.params(), tuple(axes.values()), param_dtype)
        self.raw = nnx.Param(raw, **named(*axes))

    def __call__(self, x: Any, key: Any) -> Array:
        """Returns the gate, the same for all tokens."""
        return _VALUE[self.range](at_least_float32(self.raw[...]))


class StepDecay(nnx.Module):
    """Mamba-2's log-decay: a rate for each head times a step for each token, and head or channel.

    A step for each channel is projected by a W of rank H, as in Kimi Delta Attention.

    Args:
      gate: its declaration.
      axes: names and lengths of the gate's axes after those of the tokens.
      dim: D.
      options: dtype, param_dtype and rngs.

    References:
      Dao & Gu, Transformers are SSMs, 2024, arXiv:2405.21060.
    """

    def __init__(self, gate: Gate, axes: Mapping[str, int], dim: int, **options: Any) -> None:
        step, rate = Gate(gate.axes, "positive", start=(1e-3, 1e-1)), Gate("K", "rate", start=(1.0, 16.0))
        self.channels = len(axes) - 1
        self.step = ProjectedGate(step, axes, dim, rank=axes.get("head_dim", RANK), **options)
        self.rate = Constant(rate, dict(list(axes.items())[:1]), **options)

    def __call__(self, x: Float[Array, "*B T D"], key: Any) -> Array:
        """Returns the log-decay of each token."""
        steps, rate = self.step(x, key), self.rate(x, key)
        return of_rank(rate.reshape(*rate.shape, *[1] * self.channels), steps.ndim) * steps


class KeyDirection(nnx.Module):
    """The direction of γ ⊙ key that RWKV-7 removes from its state.

    Args:
      axes: names and lengths of the axes of γ, which starts at 1.
      options: dtype, param_dtype and rngs.

    References:
      Peng et al., RWKV-7 "Goose" with Expressive Dynamic State Evolution, 2025, arXiv:2503.14456.
    """

    def __init__(self, axes: Mapping[str, int], **options: Any) -> None:
        self.gain = Constant(Gate("K H", "free"), axes, **options)

    def __call__(self, x: Any, key: Float[Array, "*B T K H"]) -> Float[Array, "*B T K H"]:
        """Returns the direction of each token, of length 1."""
        return unit(of_rank(self.gain(x, key), key.ndim) * key)


class RandomFeatures(nnx.Module):
    """Random directions [F, H] that are the same in every layer and run, so that no checkpoint holds them.

    Args:
      features: F.
      size: H.

    References:
      Choromanski et al., Rethinking Attention with Performers, 2020, arXiv:2009.14794.
    """

    def __init__(self, features: int, size: int) -> None:
        self.features = features
        self.size = size

    def __call__(self, x: Any, key: Any) -> Float[Array, "F H"]:
        """Returns the directions."""
        # Drawn while tracing: a program holds them as a constant.
        return jnp.asarray(known(_directions, self.features, self.size))


def _directions(features: int, size: int) -> Float[Array, "F H"]:
    return orthogonal_features(jax.random.key(0), features, size)


def unit(x: Float[Array, "*B H"]) -> Float[Array, "*B H"]:
    """Returns x / |x| over the last axis, in x's dtype.

    Example:
      >>> print(unit(jnp.array([3.0, 4.0])).round(3))
      [0.6 0.8]
    """
    full = at_least_float32(x)
    return (full * jax.lax.rsqrt((full * full).sum(-1, keepdims=True) + 1e-6)).astype(x.dtype)


def _default(gate: Gate) -> Decay:
    return "softplus" if gate.axes == "*B T K" else "logsigmoid"


def _start(gate: Gate) -> Callable[..., Array]:
    def start(rng: Array, shape: tuple[int, ...], dtype: DTypeLike, out_sharding: Any = None) -> Array:
        if gate.range not in _INVERSE:
            return jnp.zeros(shape, dtype)
        if isinstance(gate.start, tuple):
            low, high = jnp.log(jnp.array(gate.start))
            value = jnp.exp(jax.random.uniform(rng, shape, minval=low, maxval=high))
        else:
            value = jnp.full(shape, gate.start)
        return _INVERSE[gate.range](value).astype(dtype)

    return start
