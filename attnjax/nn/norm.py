"""Normalisation of activations over the last axis."""

from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from attnjax.nn.axes import named
from attnjax.nn.joining import LayerNorm, RMSNorm

Norm = LayerNorm | RMSNorm


def make_norm(
    kind: Literal["layer", "rms"],
    size: int,
    *,
    axis: str = "embed",
    eps: float = 1e-6,
    dtype: DTypeLike | None = None,
    param_dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> Norm:
    """Returns a LayerNorm or an RMSNorm, with statistics in float32 or better.

    Args:
      kind: "layer" is γ·(x - mean)/√(var + ε) + β, "rms" is γ·x/√(mean(x²) + ε).
      size: the length of the last axis.
      axis: the logical name of that axis.
      eps: ε, in the unit of x².
      dtype: of the output; None is what input and parameters promote to.
      param_dtype: of the parameters.
      rngs: not used; γ starts at 1, β at 0.

    Raises:
      ValueError: The kind is another.

    References:
      Ba et al., Layer Normalization, 2016, arXiv:1607.06450.
      Zhang & Sennrich, Root Mean Square Layer Normalization, 2019, arXiv:1910.07467.

    Example:
      >>> norm = make_norm("rms", 2, rngs=nnx.Rngs(0))
      >>> bool(jnp.allclose(norm(jnp.array([3.0, 4.0])), jnp.array([0.849, 1.131]), atol=1e-3))
      True
    """
    scale = named(axis)
    if kind == "layer":
        # The fast variance, E[x²] - E[x]², loses everything when the mean is large.
        return LayerNorm(
            size,
            epsilon=eps,
            use_fast_variance=False,
            dtype=dtype,
            param_dtype=param_dtype,
            scale_metadata=scale,
            bias_metadata=scale,
            rngs=rngs,
        )
    if kind == "rms":
        return RMSNorm(
            size, epsilon=eps, dtype=dtype, param_dtype=param_dtype, scale_metadata=scale, rngs=rngs
        )
    raise ValueError(f"norm {kind!r}: expected 'layer' or 'rms'")
