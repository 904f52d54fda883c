"""TTT-linear: a layer whose state is a linear model that is trained while it reads."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array

from attnjax.nn.attention.cache import StateCache
from attnjax.nn.attention.head_norm import make_head_norm
from attnjax.nn.attention.placing import following
from attnjax.nn.attention.settings import HeadNorm
from attnjax.nn.axes import named
from attnjax.nn.projection import into_heads, out_of_heads
from attnjax.nn.recurrent.base import RecurrentLayer, TokenRows
from attnjax.ops.core.checks import count
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.linear.ttt import TTTState, ttt_linear
from attnjax.ops.positions import rope


class TTTLinear(RecurrentLayer):
    """TTT-linear: o_t = O norm(f(q_t; W_t)), where W_t has learned to give values for keys up to token t.

    f and its training are those of `attnjax.ops.linear.ttt.ttt_linear`. A token's gradient counts
    η = rate·σ(x U + b)/H; at place i = 1, 2, … of a mini-batch the step is max(0, 1/i + s_i) times their sum,
    with s learned from 0. Queries and keys are rotated by their place in the mini-batch. It is the paper's
    layer in a Transformer's block; that of its Mamba block has convolutions and a gate besides. Packed
    sequences are refused: mini-batches begin with the row.

    Args:
      dim: D.
      heads: N, a divisor of D; D/N is even.
      size: C, tokens of a mini-batch.
      rate: the largest η, times H.
      bias: whether the maps of x into queries, keys and values, and O, have one; the paper's have none.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: A size is below 1, or heads do not divide D into even sizes. When called: segments.

    References:
      Sun et al., Learning to (Learn at Test Time): RNNs with Expressive Hidden States, 2024,
      arXiv:2407.04620.

    Example:
      >>> from attnjax.ops import masks
      >>> layer = TTTLinear(8, 2, size=2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 8)), mask=masks.causal()).out.shape
      (2, 5, 8)
    """

    called: ClassVar[str] = "ttt_linear"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        size: int = 16,
        rate: float = 1.0,
        bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.dim, self.heads, self.size = count("dim", dim), count("heads", heads), count("size", size)
        if dim % (2 * heads):
            raise ValueError(f"heads {heads}: expected a divisor of dim ({dim}) that gives even sizes")
        self.head_dim, self.rate = dim // heads, rate
        common: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        axes = {"heads": heads, "head_dim": self.head_dim}
        self.query, self.key, self.value = (into_heads(dim, axes, bias=bias, **common) for _ in range(3))
        self.step = into_heads(dim, {"heads": heads}, **common)
        weight = 0.02 * jax.random.normal(rngs.params(), (heads, self.head_dim, self.head_dim), param_dtype)
        self.weight = nnx.Param(weight, **named("heads", "head_dim", "head_dim"))
        names = named("heads", "head_dim")
        zeros = jnp.zeros((heads, self.head_dim), param_dtype)
        self.bias, self.shift = nnx.Param(zeros, **names), nnx.Param(zeros, **names)
        self.gain = nnx.Param(jnp.ones_like(zeros), **names)
        self.place = nnx.Param(jnp.zeros((size,), param_dtype), **named("position"))
        whole = HeadNorm("layer", groups=1, gain="each")
        self.norm = make_head_norm(whole, heads, self.head_dim, **common)
        self.out = out_of_heads(axes, dim, bias=bias, **common)

    def _start(self, batch: tuple[int, ...], dtype: Any) -> TTTState:
        return TTTState.zeros(batch, self.heads, self.head_dim, accumulation_dtype(dtype))

    def _read(self, x: Array, before: StateCache, rows: TokenRows, depth: Any) -> tuple[Array, TTTState]:
        if rows.segment_ids is not None:
            raise ValueError("mask has segments: ttt_linear cannot keep packed sequences apart")
        places = following(before.length % self.size, rows.tokens) % self.size
        query, key = (rope(part(x), places, interleaved=True) for part in (self.query, self.key))
        raw = self.step(x)
        rate = self.rate / self.head_dim * jax.nn.sigmoid(raw.astype(accumulation_dtype(raw)))
        steps = self.place[...].astype(rate.dtype) + 1 / jnp.arange(1, self.size + 1, dtype=rate.dtype)
        heads, state = ttt_linear(
            query,
            key,
            self.value(x),
            weight=self.weight[...],
            bias=self.bias[...],
            gain=self.gain[...],
            shift=self.shift[...],
            rate=rate,
            place_rate=jnp.maximum(steps, 0),
            state=before.state,
            before=before.length,
            counts=rows.counts,
        )
        return self.out(self.norm(heads)), TTTState(
            *(new.astype(old.dtype) for new, old in zip(state, before.state, strict=True))
        )
