"""Stick-breaking attention: the nearest key takes its share first, the next one of what is left."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from attnjax.ops.core.checks import positions_of
from attnjax.ops.core.node import position, replace, static
from attnjax.ops.core.pairs import Grid, Sizes, batch_grid
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.normalizers.base import Normalizer


def stick_breaking(offset: int | Int[Array, "*B"] = 0, *, own: bool = False) -> Normalizer:
    """Returns the normaliser σ(s_ij)·Π_l (1 - σ(s_il)) over the attended keys l behind j, for j < i + offset.

    A key's share is of what those nearer to the query have left. What is left at the end goes to no value, so
    that rows sum to less than 1; order needs no other positions. Meant for a causal mask.

    Args:
      offset: number of cached keys, one for all rows or one for each.
      own: whether a query's own key, j = i + offset, takes a share too. The paper's does not.

    Returns:
      The normaliser.

    Raises:
      TypeError: the offset is no integer.

    References:
      Tan et al., Scaling Stick-Breaking Attention: An Efficient Implementation and In-depth Study, 2024
      (arXiv:2410.17980).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.zeros((3, 1, 4))
      >>> weights = aj.attention_weights(x, x, mask=aj.causal(), normalizer=aj.stick_breaking())[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[0.   0.   0.  ]
       [0.5  0.   0.  ]
       [0.25 0.5  0.  ]]
    """
    return StickBreaking(positions_of("offset", offset), own)


class StickBreaking(Normalizer):
    """The normaliser that `stick_breaking` returns; after `bind` its offset is each query's position."""

    offset: Any = position()
    own: bool = static()

    def bind(self, sizes: Sizes, dtype: Any) -> Normalizer:
        """Returns the normaliser with its arrays laid out for calls of these sizes."""
        before = batch_grid("offset", self.offset, sizes).array
        at = jnp.arange(sizes.queries, dtype=jnp.int32)[None, None, :, None]
        return replace(self, offset=Grid(before + at))

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        """Returns the weights of whole rows of scores."""
        key = jnp.arange(scores.shape[-1], dtype=jnp.int32)
        last = self.offset.array if self.own else self.offset.array - 1
        present = ~jnp.isneginf(scores) & (of_rank(key, last.ndim) <= last)
        scores = jnp.where(present, scores, 0)
        left = jnp.where(present, jax.nn.log_sigmoid(-scores), 0)
        # Of the keys behind: no difference of sums, which would lose the digits of what is small.
        behind = jnp.cumsum(left[..., :0:-1], axis=-1)[..., ::-1]
        behind = jnp.concatenate([behind, jnp.zeros_like(left[..., :1])], axis=-1)
        return jnp.where(present, jnp.exp(jax.nn.log_sigmoid(scores) + behind), 0), None
