"""Norms of heads: of each by itself, or of groups of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.settings import HeadNorm
from attnjax.nn.axes import named
from attnjax.nn.norm import make_norm
from attnjax.ops.core.dtypes import accumulation_dtype, joined
from attnjax.ops.core.ranks import of_rank

Norm = Callable[[Float[Array, "*B N H"]], Float[Array, "*B N H"]]


def make_head_norm(norm: HeadNorm, heads: int, size: int, *, axis: str = "heads", **options: Any) -> Norm:
    """Returns the module of a norm of heads [*B, N, H].

    Args:
      norm: its settings.
      heads: N.
      size: H.
      axis: the logical name of the heads' axis.
      options: dtype, param_dtype and rngs.

    Raises:
      ValueError: The groups do not divide the heads.

    Example:
      >>> norm = make_head_norm(HeadNorm(groups=1, gain="each"), 2, 3, rngs=nnx.Rngs(0))
      >>> norm(jnp.ones((5, 2, 3))).shape
      (5, 2, 3)
    """
    if norm.gain == "shared" and norm.kind != "l2":
        return make_norm(norm.kind, size, axis="head_dim", eps=norm.eps, **options)
    return GroupedNorm(norm, heads, size, axis, **options)


class GroupedNorm(nnx.Module):
    """A norm whose statistics are of groups of heads, with a gain for each channel or none.

    Args:
      norm: its settings.
      heads, size, axis: as in `make_head_norm`.
      dtype: of the output; None: what input and parameters promote to.
      param_dtype: of the parameters.
      rngs: not used; the gain starts at 1, the bias of a LayerNorm at 0.

    Raises:
      ValueError: The groups do not divide the heads.
    """

    def __init__(
        self,
        norm: HeadNorm,
        heads: int,
        size: int,
        axis: str,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs | None = None,
    ) -> None:
        self.groups = heads if norm.groups is None else norm.groups
        if heads % self.groups:
            raise ValueError(f"norm groups {self.groups}: expected a divisor of the {heads} heads")
        self.kind = norm.kind
        self.eps = norm.eps
        self.dtype = dtype
        axes = {"head_dim": size} if norm.gain == "shared" else {axis: heads, "head_dim": size}
        shape, names = tuple(axes.values()), named(*axes)
        self.scale: nnx.Param[Array] | None = nnx.data(None)
        self.bias: nnx.Param[Array] | None = nnx.data(None)
        if norm.gain != "none":
            self.scale = nnx.Param(jnp.ones(shape, param_dtype), **names)
            if norm.kind == "layer":
                self.bias = nnx.Param(jnp.zeros(shape, param_dtype), **names)

    def __call__(self, x: Float[Array, "*B N H"]) -> Float[Array, "*B N H"]:
        """Returns the normed heads; statistics are in float32 or better."""
        full = x.astype(accumulation_dtype(x))
        grouped = full.reshape(*x.shape[:-2], self.groups, x.shape[-2] // self.groups * x.shape[-1])
        if self.kind == "layer":
            grouped = grouped - grouped.mean(-1, keepdims=True)
        squares = grouped * grouped
        size = squares.sum(-1, keepdims=True) if self.kind == "l2" else squares.mean(-1, keepdims=True)
        y = (grouped * jax.lax.rsqrt(size + self.eps)).reshape(full.shape)
        dtypes = [x.dtype]
        for parameter, join in ((self.scale, jnp.multiply), (self.bias, jnp.add)):
            if parameter is not None:
                y = join(y, of_rank(parameter[...].astype(y.dtype), y.ndim))
                dtypes.append(parameter[...].dtype)
        return y.astype(joined(*dtypes) if self.dtype is None else self.dtype)
