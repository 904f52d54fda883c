"""Value residual learning: every layer reads the first layer's values too."""

from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.depth import Depth
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.axes import named


class ValueResidualAttention(SoftmaxAttention):
    """Softmax attention over values a·v¹ + b·v, where v¹ are those of the first such layer of the stack.

    a and b are learned numbers of the layer that start at 1/2; in the first layer, or alone, values are v.
    The cache holds the sum. All such layers of a stack have as many key/value heads.

    Args:
      dim, heads: D and N.
      settings: those of `SoftmaxAttention`.

    Raises:
      ValueError: As in `SoftmaxAttention`. When called, the first layer's values have another shape.

    References:
      Zhou et al., Value Residual Learning, 2024, arXiv:2410.17897.

    Example:
      >>> layers = [ValueResidualAttention(8, 2, rngs=nnx.Rngs(i)) for i in range(2)]
      >>> x, depth = jnp.ones((1, 5, 8)), Depth()
      >>> for layer in layers:
      ...     x = layer(x, depth=depth).out
      >>> depth.values.shape
      (1, 5, 2, 4)
    """

    reads_depth: ClassVar[bool] = True

    def __init__(self, dim: int, heads: int, *, rngs: nnx.Rngs, **settings: Any) -> None:
        super().__init__(dim, heads, rngs=rngs, **settings)
        start = jnp.full((2,), 0.5, settings.get("param_dtype", jnp.float32))
        self.shares = nnx.Param(start, **named("pair"))

    def _of_depth(self, source: KeysValues, depth: Depth | None) -> KeysValues:
        if depth is None:
            return source
        if depth.values is None:
            depth.values = source.values
            return source
        if depth.values.shape != source.values.shape:
            shapes = [list(values.shape) for values in (depth.values, source.values)]
            raise ValueError(f"values of the first layer {shapes[0]}: expected {shapes[1]}, as they are here")
        first, own = self.shares[...].astype(source.values.dtype)
        return KeysValues(source.keys, first * depth.values + own * source.values)
