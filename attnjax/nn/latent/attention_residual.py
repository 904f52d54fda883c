"""Attention over depth in the place of the sum of a residual connection."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.attention.depth import Depth
from attnjax.nn.axes import named
from attnjax.nn.dropout import Dropout
from attnjax.nn.norm import Norm
from attnjax.ops.depth import depth_attention


class AttentionResidual(nnx.Module):
    """A residual connection by attention over depth: a layer reads norm(Σ_l w_l y_l), not norm(Σ_l y_l).

    y are the embedding and what all layers below gave; w = softmax over l of q·rmsnorm(y_l), of every token.
    q is learned, one of each connection, and starts at 0: at first all weigh alike.

    Args:
      norm: of the mixture.
      size: D.
      param_dtype: of q and of the norm's gain.

    References:
      Kimi Team, Attention Residuals, 2026, arXiv:2603.15031.

    Example:
      >>> from attnjax.nn import Depth, make_norm
      >>> residual = AttentionResidual(make_norm("rms", 4, rngs=nnx.Rngs(0)), 4)
      >>> x, depth = jnp.ones((2, 3, 4)), Depth()
      >>> y = residual.leave(x, 2 * residual.enter(x, depth), None, depth)
      >>> len(depth.outputs)
      2
    """

    def __init__(self, norm: Norm, size: int, *, param_dtype: DTypeLike = jnp.float32) -> None:
        self.norm = norm
        self.query = nnx.Param(jnp.zeros((size,), param_dtype), **named("embed"))
        self.gain = nnx.Param(jnp.ones((size,), param_dtype), **named("embed"))

    def enter(self, x: Float[Array, "*B T D"], depth: Depth | None) -> Float[Array, "*B T D"]:
        """Returns the argument of a layer; x is the embedding where no layer has given anything yet.

        Raises:
          ValueError: There is no depth.
        """
        if depth is None:
            raise ValueError("depth None: expected the Depth of this call of the stack")
        if not depth.outputs:
            depth.outputs.append(x)
        return self.norm(depth_attention(self.query[...], jnp.stack(depth.outputs), self.gain[...]))

    def leave(
        self,
        x: Float[Array, "*B T D"],
        change: Float[Array, "*B T D"],
        dropout: Dropout | None,
        depth: Depth | None,
    ) -> Float[Array, "*B T D"]:
        """Returns what the layer gave, and leaves it for those above.

        Raises:
          ValueError: There is no depth.
        """
        if depth is None:
            raise ValueError("depth None: expected the Depth of this call of the stack")
        depth.outputs.append(change if dropout is None else dropout(change))
        return depth.outputs[-1]
