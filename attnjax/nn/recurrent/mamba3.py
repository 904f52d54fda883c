"""The layer of Mamba-3."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.mechanisms import Gate
from attnjax.nn.attention.cache import StateCache
from attnjax.nn.attention.gates import ProjectedGate
from attnjax.nn.axes import named
from attnjax.nn.norm import make_norm
from attnjax.nn.projection import into_heads, out_of_heads
from attnjax.nn.recurrent.base import RecurrentLayer, TokenRows
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.linear.mamba3 import Mamba3State, mamba3

_SLOWEST = 1e-4
"""The rate at which a state forgets at least, per unit of Δ."""


class Mamba3(RecurrentLayer):
    """Mamba-3: a trapezoidal rule and rotations that tokens choose; O (silu(z) ⊙ (S_tᵀ q_t + D v_t)).

    The recurrence is that of `attnjax.ops.linear.mamba3.mamba3`, with what x projects into: v and z, for each
    head Δ = softplus(x W + b), A = -softplus(x W) and λ = σ(x W), and for all heads angles π·tanh(x W), and
    keys and queries under a norm, to which each head adds a bias. There is no short convolution. It is the
    paper's layer with one input and output for each head (SISO).

    Args:
      dim: D.
      heads: N.
      state: H, the size of keys and queries.
      expand: values and z have expand·D channels, which N divides.
      fraction: the share of keys and queries that is rotated.
      bias: whether the maps of x into v, z, q and k, and O, have one; the paper's have none.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1, N does not divide expand·D, or no pair is rotated.

    References:
      Lahoti et al., Mamba-3: Improved Sequence Modeling using State Space Principles, 2026, arXiv:2603.15569.

    Example:
      >>> from attnjax.ops import masks
      >>> layer = Mamba3(8, 2, state=4, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 8)), mask=masks.causal()).out.shape
      (2, 5, 8)
    """

    called: ClassVar[str] = "mamba3"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        state: int = 64,
        expand: int = 2,
        fraction: float = 0.5,
        bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.heads, self.state = count("dim", dim), count("heads", heads), count("state", state)
        if count("expand", expand) * dim % heads:
            raise ValueError(f"heads {heads}: expected a divisor of expand·dim ({expand * dim})")
        self.value_dim, self.angles = expand * dim // heads, int(state * fraction) // 2
        if not 0 < fraction <= 1 or self.angles < 1:
            raise ValueError(f"fraction {fraction}: expected (0, 1], and to rotate pairs of {state} entries")
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        of_values = {"heads": heads, "head_dim": self.value_dim}
        self.value, self.gate = (into_heads(dim, of_values, bias=bias, **common) for _ in range(2))
        self.query, self.key = (into_heads(dim, {"rank": state}, bias=bias, **common) for _ in range(2))
        self.query_norm, self.key_norm = (
            make_norm("rms", state, axis="rank", eps=1e-5, **common) for _ in range(2)
        )
        ones, names = jnp.ones((heads, state), param_dtype), named("heads", "rank")
        self.query_bias, self.key_bias = nnx.Param(ones, **names), nnx.Param(ones, **names)
        of_heads = {"heads": heads}
        self.step = ProjectedGate(Gate("*B T K", "positive", start=(1e-3, 1e-1)), of_heads, dim, **common)
        self.rate, self.share = (into_heads(dim, of_heads, bias=False, **common) for _ in range(2))
        self.angle = into_heads(dim, {"pair": self.angles}, bias=False, **common)
        self.skip = nnx.Param(jnp.ones((heads,), param_dtype), **named("heads"))
        self.out = out_of_heads(of_values, dim, bias=bias, **common)

    def _start(self, batch: tuple[int, ...], dtype: Any) -> Mamba3State:
        sizes = ((self.state, self.value_dim), (self.angles,), (self.state,), (self.value_dim,))
        wide = accumulation_dtype(dtype)
        return Mamba3State(*(jnp.zeros((*batch, self.heads, *size), wide) for size in sizes))

    def _read(self, x: Array, before: StateCache, rows: TokenRows, depth: Any) -> tuple[Array, Mamba3State]:
        query = self._biased(self.query, self.query_norm, self.query_bias, x)
        key = self._biased(self.key, self.key_norm, self.key_bias, x)
        value = self.value(x)
        rate, share, angle = (_wide(part(x)) for part in (self.rate, self.share, self.angle))
        heads, after = mamba3(
            query,
            key,
            value,
            step=self.step(x, None),
            rate=jnp.minimum(-jax.nn.softplus(rate), -_SLOWEST),
            share=jax.nn.sigmoid(share),
            angle=math.pi * jnp.tanh(angle)[..., None, :],
            state=before.state,
            segment_ids=rows.segment_ids,
            counts=None if rows.lengths is None else rows.counts,
        )
        after = after._replace(
            key=rows.last(before.state.key, after.key), value=rows.last(before.state.value, after.value)
        )
        heads = heads + of_rank(self.skip[...].astype(heads.dtype)[:, None], value.ndim) * value
        out = self.out(jax.nn.silu(self.gate(x)) * heads)
        return out, Mamba3State(
            *(new.astype(old.dtype) for new, old in zip(after, before.state, strict=True))
        )

    def _biased(self, part: Any, norm: Any, bias: nnx.Param[Array], x: Array) -> Float[Array, "*B T N H"]:
        """Returns keys or queries of all heads, which differ by their biases."""
        shared = norm(part(x))[..., None, :]
        return shared + of_rank(bias[...].astype(shared.dtype), shared.ndim)


def _wide(x: Array) -> Array:
    return x.astype(accumulation_dtype(x))
