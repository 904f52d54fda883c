"""The position-wise feed-forward layer."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.activation import ACTIVATIONS, GATED, gated
from attnjax.nn.axes import named
from attnjax.nn.dot import flat_dot_general


class FeedForward(nnx.Module):
    """A feed-forward layer of every position by itself.

    Args:
      dim: the width of input and output.
      hidden: the width between them.
      activation: "gelu" is GELU(x·U)·D, with the tanh approximation; "gelu_exact" is without it, "quick_gelu"
        has x·σ(1.702·x), and there are "relu", "silu" and "tanh". "swiglu" is (SiLU(x·G) ⊙ x·U)·D, with a
        third matrix of the same size; so are "geglu" and "geglu_exact" with the two GELU, "reglu" with ReLU.
      bias: whether each matrix has one.
      dtype: of the computation; None is what input and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the matrices; biases start at 0.

    Raises:
      ValueError: The activation is another.

    References:
      Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762.
      Hendrycks & Gimpel, Gaussian Error Linear Units (GELUs), 2016, arXiv:1606.08415.
      Shazeer, GLU Variants Improve Transformer, 2020, arXiv:2002.05202 (SwiGLU, GEGLU, ReGLU).

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
        activation: str = "gelu",
        bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        known = (*ACTIVATIONS, *GATED)
        if activation not in known:
            raise ValueError(f"activation {activation!r}: expected one of {', '.join(known)}")

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
        self.activation = activation
        self.gate = linear(*widen) if activation in GATED else None
        self.down = linear((hidden, dim), ("mlp", "embed"))

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """Applies the layer to every position by itself."""
        if self.gate is None:
            return self.down(ACTIVATIONS[self.activation](self.up(x)))
        return self.down(gated(self.activation, self.gate(x), self.up(x)))
