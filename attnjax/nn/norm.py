"""Normalisation of activations over the last axis."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.axes import named
from attnjax.nn.joining import LayerNorm, RMSNorm
from attnjax.ops.core.dtypes import accumulation_dtype, joined
from attnjax.ops.core.ranks import of_rank

NormKind = Literal["layer", "rms", "rms_offset"]


class OffsetRMSNorm(nnx.Module):
    """(1 + γ)·x/√(mean(x²) + ε), with γ from 0 on, which weight decay draws to no change.

    Args:
      size: the length of the last axis.
      axis: the logical name of that axis.
      eps: ε.
      dtype: of the output; None is what input and parameters promote to.
      param_dtype: of γ.

    References:
      Gemma Team, Gemma, 2024, arXiv:2403.08295.
    """

    def __init__(
        self, size: int, *, axis: str, eps: float, dtype: DTypeLike | None, param_dtype: DTypeLike
    ) -> None:
        self.scale = nnx.Param(jnp.zeros((size,), param_dtype), **named(axis))
        self.eps = eps
        self.dtype = dtype

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """Returns the normed vectors; statistics are in float32 or better."""
        full = x.astype(accumulation_dtype(x))
        gain = 1 + self.scale[...].astype(full.dtype)
        normed = full * jax.lax.rsqrt((full * full).mean(-1, keepdims=True) + self.eps)
        dtype = joined(x.dtype, self.scale[...].dtype) if self.dtype is None else self.dtype
        return (normed * of_rank(gain, normed.ndim)).astype(dtype)


Norm = LayerNorm | RMSNorm | OffsetRMSNorm


def make_norm(
    kind: NormKind,
    size: int,
    *,
    axis: str = "embed",
    eps: float = 1e-6,
    dtype: DTypeLike | None = None,
    param_dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> Norm:
    """Returns a LayerNorm or a kind of RMSNorm, with statistics in float32 or better.

    Args:
      kind: "layer" is γ·(x - mean)/√(var + ε) + β, "rms" is γ·x/√(mean(x²) + ε), "rms_offset" the same
        with 1 + γ for γ.
      size: the length of the last axis.
      axis: the logical name of that axis.
      eps: ε, in the unit of x².
      dtype: of the output; None is what input and parameters promote to.
      param_dtype: of the parameters.
      rngs: not used; γ starts at 1, an offset and β at 0.

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
    if kind == "rms_offset":
        return OffsetRMSNorm(size, axis=axis, eps=eps, dtype=dtype, param_dtype=param_dtype)
    raise ValueError(f"norm {kind!r}: expected 'layer', 'rms' or 'rms_offset'")
