"""The algebra of normalisers: from scores (-inf where masked) to weights. Only softmax has a log-sum-exp."""

from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.core.node import PytreeNode
from attnjax.ops.core.pairs import Sizes


class Sums(NamedTuple):
    """The highest score of each row and the sum of all exponentials above it; both 0 for a row without keys.

    A sink is one of the scores. The highest is a constant: its derivative is 0, and all is in the total's.
    """

    highest: Float[Array, "B N t"]
    total: Float[Array, "B N t"]

    @property
    def lse(self) -> Float[Array, "B N t"]:
        """The log-sum-exp of each row; -inf without keys."""
        empty = self.total == 0
        return jnp.where(empty, -jnp.inf, self.highest + jnp.log(jnp.where(empty, 1, self.total)))


class Normalizer(PytreeNode):
    """A map from rows of scores to weights; masked pairs weigh 0, and so do all pairs of a row without keys.

    `route` says what an engine has to see of a row: "online" can be built up block by block with a running
    log-sum-exp, "pairwise" needs no row at all, "whole" needs the entire row at once.

    Example:
      >>> import attnjax as aj
      >>> [n.route for n in (aj.softmax(), aj.sigmoid(), aj.sparsemax())]
      ['online', 'pairwise', 'whole']
    """

    route: ClassVar[Literal["online", "pairwise", "whole"]] = "whole"

    def bind(self, sizes: Sizes, dtype: Any) -> "Normalizer":
        """Returns the normaliser for these sizes, computed in `dtype`."""
        return self

    def weights(
        self, scores: Float[Array, "B N t S"], attended: Bool[Array, "..."] | None
    ) -> tuple[Float[Array, "B N t S"], Sums | None]:
        """Returns the weights of whole rows, and their sums where the normaliser has such."""
        raise NotImplementedError

    def pair_weights(
        self,
        scores: Float[Array, "B N t s"],
        level: Float[Array, "B N t"],
        attended: Bool[Array, "..."] | None,
    ) -> Float[Array, "B N t s"]:
        """Returns the weights of a block, relative to each row's `level` if "online"; not for "whole" rows.

        Masked pairs weigh exactly 0, even in a row that holds NaN.
        """
        raise NotImplementedError


def finite(x: Array) -> Array:
    """Returns x with -inf replaced by 0: what a row without keys may subtract."""
    return jnp.where(jnp.isneginf(x), 0, x)


def shifted(scores: Array) -> tuple[Array, Array]:
    """Returns the entries that take part, and the scores with the row's highest at 0 (0 where none does)."""
    present = ~jnp.isneginf(scores)
    highest = jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True, initial=-jnp.inf))
    highest = jnp.where(jnp.isneginf(highest), 0, highest)
    return present, jnp.where(present, scores - highest, 0)
