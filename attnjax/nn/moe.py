"""Feed-forward layers of many experts, of which every token goes through a few."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.activation import ACTIVATIONS, GATED, gated
from attnjax.nn.axes import named
from attnjax.nn.expert_routing import ExpertRouting
from attnjax.nn.feed_forward import FeedForward
from attnjax.nn.joining import Linear


class Stacked(nnx.Module):
    """Linear maps x W_e + b_e of experts e = 0, 1, …, whose matrices are one array [E, I, O].

    Args:
      experts: E.
      sizes: I and O.
      axes: the logical names of these.
      bias: whether there is a b.
      dtype: of the computation; None is what input and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the matrices; biases start at 0.
    """

    def __init__(
        self,
        experts: int,
        sizes: tuple[int, int],
        axes: tuple[str, str],
        *,
        bias: bool,
        dtype: DTypeLike | None,
        param_dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        draw = nnx.initializers.xavier_uniform(in_axis=-2, out_axis=-1, batch_axis=(0,))
        kernel = draw(rngs.params(), (experts, *sizes), param_dtype)
        self.kernel = nnx.Param(kernel, **named("experts", *axes))
        self.bias: nnx.Param[Array] | None = nnx.data(None)
        if bias:
            self.bias = nnx.Param(jnp.zeros((experts, sizes[1]), param_dtype), **named("experts", axes[1]))
        self.dtype = dtype

    def __call__(
        self, x: Float[Array, "R I"], expert: Int[Array, " R"], counts: Int[Array, " E"] | None
    ) -> Float[Array, "R O"]:
        """Returns what the expert of each row makes of it.

        Args:
          x: the rows.
          expert: of each row.
          counts: the rows of each expert, which then lie one after the other; None: they lie anyhow, and each
            takes a matrix of its own, which is less to read where rows are fewer than experts.
        """
        kernel = self.kernel[...]
        dtype = jnp.promote_types(x.dtype, kernel.dtype) if self.dtype is None else jnp.dtype(self.dtype)
        x, kernel = x.astype(dtype), kernel.astype(dtype)
        if counts is None:
            y = jnp.einsum("ri,rio->ro", x, kernel[expert])
        else:
            y = jax.lax.ragged_dot(x, kernel, counts)
        return y if self.bias is None else y + self.bias[...].astype(dtype)[expert]


class MixtureOfExperts(nnx.Module):
    """A feed-forward layer of E experts, of which a token x goes through the k best: Σ_e w_e·f_e(x).

    The k experts are those of the highest scores x R + c, and w is the softmax of these k. That is the
    softmax over all experts, cut to the k best and scaled to a sum of 1, as Mixtral states it; an
    `ExpertRouting` states others. A shared expert g, which every token goes through, adds g(x), or
    σ(x u)·g(x).

    Args:
      dim: D, the width of input and output.
      hidden: the width between them, in each expert.
      experts: E.
      active: k.
      activation: of an expert, as in `FeedForward`.
      routing: how experts are chosen and weighed.
      shared: the width of the shared expert; None: there is none.
      shared_gate: whether there is a u, which starts at 0.
      bias: whether matrices and scores have one.
      dtype: of the computation; None is what input and parameters promote to; w is in float32 or better.
      param_dtype: of the parameters.
      rngs: draws the matrices; biases start at 0.

    Raises:
      ValueError: The activation is unknown, k is not between 1 and E, experts do not fit the groups of the
        routing, or there is a u and no shared expert.

    References:
      Shazeer et al., Outrageously Large Neural Networks, 2017, arXiv:1701.06538.
      Jiang et al., Mixtral of Experts, 2024, arXiv:2401.04088.
      Dai et al., DeepSeekMoE, 2024, arXiv:2401.06066 (shared expert).

    Example:
      >>> layer = MixtureOfExperts(4, 8, experts=3, active=2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 4))).shape
      (2, 5, 4)
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        *,
        experts: int,
        active: int,
        activation: str = "swiglu",
        routing: ExpertRouting = ExpertRouting(),  # noqa: B008, it is frozen
        shared: int | None = None,
        shared_gate: bool = False,
        bias: bool = False,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        known = (*ACTIVATIONS, *GATED)
        if activation not in known:
            raise ValueError(f"activation {activation!r}: expected one of {', '.join(known)}")
        if not 1 <= active <= experts:
            raise ValueError(
                f"active {active} of {experts} experts: expected 1 or more, and no more than there are"
            )
        routing.require_fits(experts, active)
        if shared_gate and shared is None:
            raise ValueError("shared_gate True without shared: expected the width of a shared expert")
        self.routing = routing
        self.experts = experts
        self.active = active
        self.activation = activation
        self.router = Linear(
            dim,
            experts,
            use_bias=bias,
            kernel_metadata=named("embed", "experts"),
            bias_metadata=named("experts"),
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )

        def stacked(sizes: tuple[int, int], axes: tuple[str, str]) -> Stacked:
            return Stacked(experts, sizes, axes, bias=bias, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

        widen = (dim, hidden), ("embed", "mlp")
        self.up = stacked(*widen)
        self.gate = stacked(*widen) if activation in GATED else None
        self.down = stacked((hidden, dim), ("mlp", "embed"))
        self.correction: nnx.Param[Array] | None = nnx.data(None)
        if routing.corrected:
            self.correction = nnx.Param(jnp.zeros((experts,), param_dtype), **named("experts"))
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        given: dict[str, Any] = {"activation": activation, "bias": bias, **options}
        self.shared = None if shared is None else FeedForward(dim, shared, **given)
        self.shared_gate: nnx.Param[Array] | None = nnx.data(None)
        if shared_gate:
            self.shared_gate = nnx.Param(jnp.zeros((dim,), param_dtype), **named("embed"))

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """Applies the layer to every position by itself."""
        tokens = x.reshape(-1, x.shape[-1])
        correction = None if self.correction is None else self.correction[...]
        weights, chosen = self.routing(self.router(tokens), correction, active=self.active)
        out = jnp.einsum("tk,tkd->td", weights, self._parts(tokens, chosen))
        if self.shared is not None:
            own = self.shared(tokens)
            if self.shared_gate is not None:
                own = jax.nn.sigmoid(tokens @ self.shared_gate[...].astype(tokens.dtype))[:, None] * own
            out = out + own
        return out.reshape(x.shape)

    def _parts(self, tokens: Float[Array, "T D"], chosen: Int[Array, "T k"]) -> Float[Array, "T k D"]:
        """Returns what each token's experts make of it."""
        expert = chosen.reshape(-1)
        if len(expert) <= self.experts:
            rows = self._through(jnp.repeat(tokens, self.active, axis=0), expert, None)
            return rows.reshape(*chosen.shape, -1)
        # Rows of one expert lie together, for one product with its matrix.
        order = jnp.argsort(expert, stable=True)
        counts = jnp.zeros(self.experts, jnp.int32).at[expert].add(1)
        rows = self._through(tokens[order // self.active], expert[order], counts)
        return rows[jnp.argsort(order, stable=True)].reshape(*chosen.shape, -1)

    def _through(self, rows: Array, expert: Array, counts: Array | None) -> Array:
        up = self.up(rows, expert, counts)
        if self.gate is None:
            return self.down(ACTIVATIONS[self.activation](up), expert, counts)
        return self.down(gated(self.activation, self.gate(rows, expert, counts), up), expert, counts)
