"""HGRN: a gated recurrence of complex channels, whose forgetting is bounded from below by depth."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.cache import StateCache
from attnjax.nn.axes import named
from attnjax.nn.norm import make_norm
from attnjax.nn.projection import into_heads
from attnjax.nn.recurrent.base import RecurrentLayer, TokenRows
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.linear.hgrn import hgrn


class HGRN(RecurrentLayer):
    """HGRN: h_t = λ_t e^{iθ} h_{t-1} + (1 - λ_t) c_t in each channel, with λ = γ + (1 - γ) σ(x W_λ + b).

        c = silu(x W_c + b), a complex number;  o_t = O norm(σ(x_t W_g + b) ⊙ [Re h_t, Im h_t])

    γ, below which nothing is kept, grows with depth: γ = layer/layers. The paper learns how, for each channel
    and all layers together; that is left out here.

    Args:
      dim: D.
      heads: not used; each channel is one.
      layer, layers: the number of the layer, from 0, of so many.
      bias: whether the maps of x, and O, have one.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters; θ starts at 10000^(-2d/D) for channel d.

    Raises:
      ValueError: A size is below 1; the layer is none of so many.

    References:
      Qin et al., Hierarchically Gated Recurrent Neural Network for Sequence Modeling, 2023, arXiv:2311.04823.

    Example:
      >>> from attnjax.ops import masks
      >>> layer = HGRN(8, 1, layer=1, layers=2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 8)), mask=masks.causal()).out.shape
      (2, 5, 8)
    """

    called: ClassVar[str] = "hgrn"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        layer: int = 0,
        layers: int = 1,
        bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim = count("dim", dim)
        if not 0 <= layer < count("layers", layers):
            raise ValueError(f"layer {layer}: expected one of the {layers} layers, from 0")
        self.bound = layer / layers
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.content, self.gate = (
            into_heads(dim, {"embed": dim, "pair": 2}, bias=bias, **common) for _ in range(2)
        )
        self.forget = into_heads(dim, {"embed": dim}, bias=bias, **common)
        phase = 10_000.0 ** (-2 / dim * jnp.arange(dim, dtype=jnp.float32))
        self.phase = nnx.Param(phase.astype(param_dtype), **named("embed"))
        self.norm = make_norm("layer", 2 * dim, axis="mlp", **common)
        self.out = into_heads(2 * dim, {"embed": dim}, source="mlp", bias=bias, **common)

    def _start(self, batch: tuple[int, ...], dtype: Any) -> Float[Array, "*B D 2"]:
        return jnp.zeros((*batch, self.dim, 2), accumulation_dtype(dtype))

    def _read(self, x: Array, before: StateCache, rows: TokenRows, depth: Any) -> tuple[Array, Any]:
        raw = self.forget(x)
        forget = self.bound + (1 - self.bound) * jax.nn.sigmoid(raw.astype(accumulation_dtype(raw)))
        states, last = hgrn(
            jax.nn.silu(self.content(x)),
            forget,
            self.phase[...],
            initial_state=before.state,
            begins=rows.begins,
            real=rows.real,
        )
        gated = jax.nn.sigmoid(self.gate(x)) * states.astype(x.dtype)
        out = self.out(self.norm(gated.reshape(*x.shape[:-1], 2 * self.dim)))
        return out, last.astype(before.state.dtype)
