"""The algebra of scores: `softcap(30.0) >> alibi(slopes)`, or a sequence, applies them in the order given."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from attnjax.ops.core.node import PytreeNode
from attnjax.ops.core.pairs import Block, Sizes


class Score(PytreeNode):
    """One modification of the scores, an immutable pytree: its numbers and arrays are differentiable.

    A score of your own is a subclass with `apply` and, where it has arrays, `bind`; `score_fn` takes a
    function.

    Example:
      >>> import attnjax as aj
      >>> aj.softcap(30.0) >> aj.softcap(2.0)
      (softcap(30.0), softcap(2.0))
    """

    def bind(self, sizes: Sizes, dtype: Any) -> "Score":
        """Returns the score for these sizes, computed in `dtype`; ValueError when its arrays do not fit."""
        return self

    def apply(
        self, scores: Float[Array, "B N t s"], at: Block, attended: Bool[Array, "..."] | None
    ) -> Float[Array, "B N t s"]:
        """Returns the new scores of a block, after `bind`; `attended` = None where no pair is masked."""
        raise NotImplementedError

    def __rshift__(self, other: "Score | Chain") -> "Chain":
        return Chain((*flatten(self), *flatten(other)))


@jax.tree_util.register_pytree_node_class
class Chain(tuple[Score, ...]):
    """Scores that are applied one after the other."""

    def tree_flatten(self) -> tuple[tuple[Score, ...], None]:
        """Returns the scores as children."""
        return tuple(self), None

    @classmethod
    def tree_unflatten(cls, aux: None, scores: Iterable[Score]) -> "Chain":
        """Returns the chain of these scores."""
        return cls(scores)

    def __rshift__(self, other: "Score | Chain") -> "Chain":
        return Chain((*self, *flatten(other)))


def flatten(score: Any) -> tuple[Score, ...]:
    """Returns a score, a sequence of scores or None as a tuple; TypeError for anything else."""
    if score is None:
        return ()
    if isinstance(score, Score):
        return (score,)
    if isinstance(score, Iterable) and not isinstance(score, (jax.Array, np.ndarray)):
        return tuple(s for part in score for s in flatten(part))
    raise TypeError(
        f"score is {score!r}: expected scores of attnjax (score_fn(fn) for a function of your own)"
    )
