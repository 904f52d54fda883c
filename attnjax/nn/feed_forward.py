"""The position-wise feed-forward layer."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.axes import named
from attnjax.nn.dot import flat_dot_general


class FeedForward(nnx.Module):
    """GELU(x·U)·D (Hendrycks & Gimpel 2016), or SwiGLU (SiLU(x·G) ⊙ x·U)·D (Shazeer 2020).

    GELU is the tanh approximation. SwiGLU has a third matrix of the same size.

    Raises:
      ValueError: for another activation.

    >>> feed_forward = FeedForward(4, 8, activation="swiglu", rngs=nnx.Rngs(0))
    >>> feed_forward(jnp.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        *,
        activation: Literal["gelu", "swiglu"] = "gelu",
        bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if activation not in ("gelu", "swiglu"):
            raise ValueError(f"activation {activation!r}: expected 'gelu' or 'swiglu'")

        def linear(sizes: tuple[int, int], axes: tuple[str, str]) -> nnx.Linear:
            return nnx.Linear(
                *sizes,
                use_bias=bias,
                kernel_init=nnx.initializers.xavier_uniform(),
                dot_general=flat_dot_general,
                kernel_metadata=named(*axes),
                bias_metadata=named(axes[-1]),
                dtype=dtype,
                param_dtype=param_dtype,
                rngs=rngs,
            )

        widen = (dim, hidden), ("embed", "mlp")
        self.up = linear(*widen)
        self.gate = linear(*widen) if activation == "swiglu" else None
        self.down = linear((hidden, dim), ("mlp", "embed"))

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """The layer applied to every position by itself."""
        if self.gate is None:
            return self.down(jax.nn.gelu(self.up(x)))
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))
