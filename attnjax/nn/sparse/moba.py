"""The layer of Mixture of Block Attention."""

from typing import Any, Unpack

from flax import nnx
from jaxtyping import Array

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.attention.settings import Settings
from attnjax.nn.sparse.base import ChosenAttention, at_least_one
from attnjax.ops import masks
from attnjax.ops.sparse import moba_blocks


class MoBA(ChosenAttention):
    """Attention of each query and head to its own block and to those whose mean key it likes best.

    Softmax attention over the tokens of `count` blocks: the one that the query stands in, and of the blocks
    before it those of the highest q·mean(k). The choice itself has no gradient: queries and keys learn from
    the tokens of the blocks that were chosen. With a cache the means are of the cached keys, so that decoding
    gives what one pass gives.

    Args:
      dim, heads: D and N.
      size: of a block, in tokens.
      count: the blocks that a query sees, its own among them.
      settings: those of `SoftmaxAttention`.

    Raises:
      ValueError: As in `SoftmaxAttention`, or size or count is below 1.

    References:
      Lu et al., MoBA: Mixture of Block Attention for Long-Context LLMs, 2025, arXiv:2502.13189.

    Example:
      >>> import jax.numpy as jnp
      >>> layer = MoBA(8, 2, size=2, count=2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 6, 8)), mask=masks.causal()).out.shape
      (1, 6, 8)
    """

    name = "moba"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        size: int = 64,
        count: int = 8,
        rngs: nnx.Rngs,
        **settings: Unpack[Settings],
    ) -> None:
        self.size, self.count = at_least_one(size=size, count=count)
        super().__init__(dim, heads, rngs=rngs, **settings)

    def _narrowed(self, mask: Any, query: Array, source: KeysValues, given: MaskLike | None) -> Any:
        tokens = self._tokens(given, query.shape[-3], source.keys.shape[-3])
        index = moba_blocks(
            query, source.keys, self.size, self.count, positions=tokens.positions, ids=tokens.ids
        )
        return mask & masks.chosen_blocks(index, (1, self.size))
