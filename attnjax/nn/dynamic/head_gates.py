"""Gates on what heads read, before the last projection, as recipes make them."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.output_gate import OutputGating
from attnjax.nn.attention.settings import OutputGate
from attnjax.nn.projection import into_heads
from attnjax.nn.training import losses_left
from attnjax.ops.core.dtypes import accumulation_dtype


def output_gate(
    headwise: bool,
    *,
    dim: int,
    heads: int,
    value_dim: int,
    dtype: DTypeLike | None = None,
    param_dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> OutputGating:
    """Returns the gate σ(x W) of each channel of the heads, or of each head as a whole.

    References:
      Qiu et al., Gated Attention for Large Language Models, 2025, arXiv:2505.06708.
    """
    gate = OutputGate("headwise" if headwise else "elementwise")
    return OutputGating(gate, dim, heads, value_dim, dtype=dtype, param_dtype=param_dtype, rngs=rngs)


class MixtureOfHeads(nnx.Module):
    """Gates of heads of which few are not 0: the first always speak, of the others the best of each token.

        g_n = a·softmax_n(x W) over the shared heads, b·softmax_n(x W) over the routed, 0 but for the best;
        (a, b) = softmax(x U)

    All heads are computed, here; what is saved is for a program that knows the gates first.

    Args:
      shared: heads that always speak, the first ones.
      active: heads of the others that speak; None: half of them, rounded up.
      cost: of an uneven load, which is left for the loss in training (`in_training`); padding counts too.
      dim, heads: D and N.
      dtype: of the projections; None is what x and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws them.

    Raises:
      ValueError: There are not so many heads.

    References:
      Jin et al., MoH: Multi-Head Attention as Mixture-of-Head Attention, 2024, arXiv:2410.11842.

    Example:
      >>> gates = MixtureOfHeads(1, 1, dim=8, heads=4, rngs=nnx.Rngs(0))
      >>> (gates.gates(jnp.ones((1, 5, 8))) > 0).sum(-1).tolist()
      [[2, 2, 2, 2, 2]]
    """

    def __init__(
        self,
        shared: int,
        active: int | None,
        cost: float = 0.01,
        *,
        dim: int,
        heads: int,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if shared >= heads:
            raise ValueError(f"shared {shared}: expected fewer than the heads ({heads})")
        self.shared, self.cost, routed = shared, cost, heads - shared
        self.active = -(-routed // 2) if active is None else active
        if self.active > routed:
            raise ValueError(f"active {active}: expected at most {routed}, the heads that are not shared")
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.router = into_heads(dim, {"heads": heads}, bias=False, **common)
        self.balance = into_heads(dim, {"pair": 2}, bias=False, **common)

    def gates(self, x: Float[Array, "*B T D"]) -> Float[Array, "*B T N"]:
        """Returns the gates, in float32 or better."""
        own, others, chosen = self._shares(x)
        raw = self.balance(x)
        first, second = jnp.split(jax.nn.softmax(_wide(raw), axis=-1), 2, axis=-1)
        if not self.shared:
            first, second = jnp.zeros_like(first), jnp.ones_like(second)
        return jnp.concatenate([first * own, second * others * chosen], axis=-1)

    def load(self, x: Float[Array, "*B T D"]) -> Float[Array, ""]:
        """Returns Σ_n f_n·p_n over the routed heads, which the loss adds times `cost`.

        f is the share of tokens that chose a head, p the mean of its softmax: evenly spread it is the least.
        """
        _, others, chosen = self._shares(x)
        axes = tuple(range(x.ndim - 1))
        return (chosen.mean(axes) * others.mean(axes)).sum()

    def _shares(self, x: Array) -> tuple[Array, Array, Array]:
        """Returns the softmax of shared heads, that of the others, and 1 for those of these that speak."""
        logits = _wide(self.router(x))
        own, others = (jax.nn.softmax(part, axis=-1) for part in jnp.split(logits, [self.shared], axis=-1))
        _, best = jax.lax.top_k(others, self.active)
        chosen = jax.nn.one_hot(best, others.shape[-1], dtype=others.dtype).sum(-2)
        return own, others, chosen

    def __call__(
        self, heads: Float[Array, "*B T N V"], x: Float[Array, "*B T D"]
    ) -> Float[Array, "*B T N V"]:
        """Returns the heads times their gates, in the heads' dtype."""
        losses = losses_left()
        if losses is not None:
            losses.append(self.cost * self.load(x))
        return heads * self.gates(x)[..., None].astype(heads.dtype)


def _wide(x: Array) -> Array:
    return x.astype(accumulation_dtype(x))
