"""A score for tokens that lie in another order than the one that it speaks of."""

from typing import Any

from jaxtyping import Array

from attnjax.ops.core.pairs import Block, Sizes, map_grids
from attnjax.ops.masks.relabelled import laid_out
from attnjax.ops.scores.base import Score


class RelabelledScore(Score):
    """A score that is computed where tokens stand, as `masks.relabel` is of a mask.

    Attributes:
      score: of the order that it speaks of.
      query, key: the positions [*B, T] and [*B, S]; of a bound score, grids of them.
    """

    score: Any
    query: Any
    key: Any

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        """Returns the score with its arrays laid out for calls of these sizes."""
        query, key, read = laid_out(self.query, self.key, sizes)
        return RelabelledScore(map_grids(read, self.score.bind(sizes, dtype)), query, key)

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        """Returns the changed scores of a block."""
        changed: Array = self.score.apply(scores, at._replace(q=self.query.array, k=self.key.array), attended)
        return changed
