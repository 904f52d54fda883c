"""The gate on what heads read."""

from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float

from attnjax.nn.attention.settings import OutputGate
from attnjax.nn.projection import into_heads

_ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "silu": jax.nn.silu}


class OutputGating(nnx.Module):
    """The module of an `OutputGate`.

    Args:
      gate: its settings.
      dim: D, the width of x.
      heads, value_dim: N and V.
      options: dtype, param_dtype and rngs.

    Example:
      >>> import jax.numpy as jnp
      >>> gate = OutputGating(OutputGate("headwise"), 8, 2, 3, rngs=nnx.Rngs(0))
      >>> gate(jnp.ones((1, 5, 2, 3)), jnp.zeros((1, 5, 8)))[0, 0, 0]
      Array([0.5, 0.5, 0.5], dtype=float32)
    """

    def __init__(self, gate: OutputGate, dim: int, heads: int, value_dim: int, **options: Any) -> None:
        self.settings = gate
        axes = {"heads": heads} | ({"head_dim": value_dim} if gate.kind == "elementwise" else {})
        rank = gate.rank
        self.down = None if rank is None else into_heads(dim, {"rank": rank}, bias=False, **options)
        size, source = (dim, "embed") if rank is None else (rank, "rank")
        self.up = into_heads(size, axes, source=source, bias=gate.bias, **options)

    def __call__(
        self, heads: Float[Array, "*B T N V"], x: Float[Array, "*B T D"]
    ) -> Float[Array, "*B T N V"]:
        """Returns heads ⊙ f(x W), in the heads' dtype."""
        gate = _ACTIVATIONS[self.settings.activation](self.up(x if self.down is None else self.down(x)))
        return heads * (gate if self.settings.kind == "elementwise" else gate[..., None]).astype(heads.dtype)
