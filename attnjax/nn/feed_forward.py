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
    """A feed-forward layer of every position by itself.

    Args:
      dim: the width of input and output.
      hidden: the width between them.
      activation: "gelu" is GELU(x·U)·D, with the tanh approximation; "swiglu" is (SiLU(x·G) ⊙ x·U)·D, with a
        third matrix of the same size.
      bias: whether each matrix has one.
      dtype: of the computation; None is what input and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the matrices; biases start at 0.

    Raises:
      ValueError: The activation is another.

    References:
      Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762.
      Hendrycks & Gimpel, Gaussian Error Linear Units (GELUs), 2016, arXiv:1606.08415.
      Shazeer, GLU Variants Improve Transformer, 2020, arXiv:2002.05202 (SwiGLU).

    Example:
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
        """Applies the layer to every position by itself."""
        if self.gate is None:
            return self.down(jax.nn.gelu(self.up(x)))
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))
