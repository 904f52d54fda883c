"""The base of layers that read a context, query after query or key after key."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.base import require_width
from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.sizes import require_sizes
from attnjax.nn.axes import named
from attnjax.nn.dot import flat_dot_general
from attnjax.nn.projection import into_heads


class ReadingLayer(nnx.Module):
    """Projections of tokens to queries, of a context to keys and values, and of the heads to the output.

    Args:
      dim, heads: D and N.
      context_dim: C; None: D.
      head_dim: H, of queries, keys and values; None: D/N.
      bias: whether the projections have one.
      dtype: of the computation; None is what inputs and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws the parameters.

    Raises:
      ValueError: sizes are below 1 or do not divide.
    """

    has_weights = True

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        context_dim: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        require_sizes(dim, heads, kv_heads=None, head_dim=head_dim, context_dim=context_dim)
        self.dim, self.heads = dim, heads
        self.context_dim = dim if context_dim is None else context_dim
        self.head_dim = dim // heads if head_dim is None else head_dim
        common: dict[str, Any] = {"bias": bias, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        axes = {"heads": heads, "head_dim": self.head_dim}
        self.query = into_heads(dim, axes, **common)
        self.key, self.value = (into_heads(self.context_dim, axes, **common) for _ in range(2))
        self.out = nnx.LinearGeneral(
            tuple(axes.values()),
            dim,
            axis=(-2, -1),
            use_bias=bias,
            kernel_init=nnx.initializers.xavier_uniform(),
            kernel_metadata=named(*axes, "embed"),
            bias_metadata=named("embed"),
            dot_general=flat_dot_general,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self._make_own(dtype, param_dtype, rngs)

    def _make_own(self, dtype: DTypeLike | None, param_dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """Makes the parameters that a subclass has beside the projections."""

    def project(self, context: Float[Array, "*B S C"]) -> KeysValues:
        """Returns the keys and values of a context, which can be read many times.

        Raises:
          ValueError: The context has another width.
        """
        require_width("context", context, self.context_dim)
        return KeysValues(self.key(context), self.value(context))

    def _projected(self, x: Array, context: Array | KeysValues) -> tuple[Array, Array, Array]:
        """Returns queries, keys and values. Raises ValueError for tokens of another width."""
        require_width("x", x, self.dim)
        source = context if isinstance(context, KeysValues) else self.project(context)
        return self.query(x), source.keys, source.values

    def _read(self, heads: Array, weights: Array | None, capture: Capture | None) -> AttentionOutput:
        """Returns the output of heads [*B, T, N, H], with those of the weights that are asked for."""
        out = self.out(heads)
        if capture is None or weights is None:
            return AttentionOutput(out)
        capture.require_within("heads", weights.shape[-3])
        capture.require_within("rows", weights.shape[-2])
        return AttentionOutput(out, None, capture.of_weights(weights))


def of_keys(mask: Bool[Array, "*B S"] | None) -> Bool[Array, "*B 1 1 S"] | None:
    """Returns a mask of the keys for all heads and queries."""
    return None if mask is None else jnp.asarray(mask)[..., None, None, :]


Vector = Float[Array, "N H"]


def vector(rngs: nnx.Rngs, heads: int, size: int, dtype: Any, scale: float = 1.0) -> nnx.Param[Vector]:
    """Returns a parameter [N, H] that starts as N(0, scale²/H)."""
    start = scale * size**-0.5 * rngs.params.normal((heads, size), dtype)
    return nnx.Param(start, **named("heads", "head_dim"))
