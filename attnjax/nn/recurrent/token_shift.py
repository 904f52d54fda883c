"""Token shift: each token mixed with the one before it, channel by channel."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.axes import named
from attnjax.nn.projection import into_heads
from attnjax.ops.core.ranks import of_rank


class LowRank(nnx.Module):
    """A map f(x W₁) W₂ + b of small rank.

    Args:
      dim: D.
      axes: names and lengths of the axes of the result.
      rank: the columns of W₁.
      activation: f.
      bias: where b starts, of the shape of the result; None: there is none.
      options: dtype, param_dtype and rngs.

    Example:
      >>> LowRank(8, {"heads": 2, "head_dim": 4}, 3, jnp.tanh, rngs=nnx.Rngs(0))(jnp.ones((5, 8))).shape
      (5, 2, 4)
    """

    def __init__(
        self,
        dim: int,
        axes: dict[str, int],
        rank: int,
        activation: Callable[[Array], Array],
        bias: Array | None = None,
        **options: Any,
    ) -> None:
        self.down = into_heads(dim, {"rank": rank}, bias=False, **options)
        start: Any = {} if bias is None else {"bias_init": lambda key, shape, dtype, *_: bias.astype(dtype)}
        self.up = into_heads(rank, axes, source="rank", bias=bias is not None, **start, **options)
        self.activation = activation

    def __call__(self, x: Float[Array, "*B D"]) -> Array:
        """Returns f(x W₁) W₂ + b."""
        return self.up(self.activation(self.down(x)))


class TokenShift(nnx.Module):
    """Mixtures x_t + (x_{t-1} - x_t) ⊙ μ of each token and the one before it, one for each purpose.

    With a rank μ depends on the token (RWKV-6's "ddlerp"): μ_i + tanh(m W_i) V_i, where m is such a mixture
    itself.

    Args:
      dim: D.
      starts: [P, D], where μ starts for each of P purposes; those of m, in front, where there is a rank.
      rank: of W; None: μ is the same for all tokens.
      dtype, param_dtype, rngs: of the parameters, and what draws them.

    References:
      Peng et al., Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence, 2024,
      arXiv:2404.05892.

    Example:
      >>> shift = TokenShift(4, jnp.full((2, 4), 0.5), rngs=nnx.Rngs(0))
      >>> shift(jnp.ones((3, 4)), jnp.zeros((3, 4)))[1][0]
      Array([0.5, 0.5, 0.5, 0.5], dtype=float32)
    """

    def __init__(
        self,
        dim: int,
        starts: Float[Array, "P D"],
        *,
        rank: int | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.shares = nnx.Param(starts.astype(param_dtype), **named("purpose", "embed"))
        purposes = len(starts) - 1
        self.down: nnx.LinearGeneral | None = nnx.data(None)
        self.up: nnx.Param[Array] | None = nnx.data(None)
        if rank is not None:
            common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
            self.down = into_heads(dim, {"purpose": purposes, "rank": rank}, bias=False, **common)
            drawn = nnx.initializers.uniform(0.02)(rngs.params(), (purposes, rank, dim), param_dtype) - 0.01
            self.up = nnx.Param(drawn, **named("purpose", "rank", "embed"))

    def __call__(
        self, x: Float[Array, "*B T D"], previous: Float[Array, "*B T D"]
    ) -> list[Float[Array, "*B T D"]]:
        """Returns the mixture for each purpose."""
        change = previous - x
        shares = [of_rank(share, x.ndim) for share in self.shares[...].astype(x.dtype)]
        if self.down is None or self.up is None:
            return [x + change * share for share in shares]
        hidden = jnp.tanh(self.down(x + change * shares[0]))
        moved = jnp.einsum("...pr,prd->...pd", hidden, self.up[...].astype(hidden.dtype))
        return [x + change * (share + moved[..., i, :]) for i, share in enumerate(shares[1:])]
