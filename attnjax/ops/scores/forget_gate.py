"""The gate of the Forgetting Transformer."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.ops.core.checks import floats, positions_of
from attnjax.ops.core.node import PytreeNode, position, replace
from attnjax.ops.core.pairs import Block, Grid, Sizes, batch_grid
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.core.running_sums import running_sums
from attnjax.ops.scores.base import Score

# A gate with a lower log is 0 in every float type, and a sum that holds it has no digits left for the others.
LOWEST_LOG_GATE = -1000.0


def forget_gate(log_f: Float[Array, "*B S N"], offset: int | Int[Array, "*B"] = 0) -> Score:
    """Returns the score s + Σ log f_l for l = j+1 … i+offset.

    Meant for a causal mask: for j > i + offset the sum runs backwards with the opposite sign. A query beyond
    the last key has no further gates. A gate of 0 (a log of -inf, or any below -1000) is a border: the score
    of a pair across it is -inf, its weight 0 as that of a masked pair, and the gate's gradient 0. Sums keep
    their digits at any length.

    Args:
      log_f: [*B, S, N], the log of each key position's gate; differentiable.
      offset: number of cached keys, one for all rows or one for each.

    Returns:
      The score.

    Raises:
      TypeError: gates are not floating point.
      ValueError: gates have another shape (when attention is called).

    References:
      Lin et al., Forgetting Transformer: Softmax Attention with a Forget Gate, 2025 (arXiv:2503.02130).

    Example:
      >>> import attnjax as aj
      >>> x, log_f = jnp.zeros((3, 1, 4)), jnp.log(jnp.array([[1.0], [0.5], [0.5]]))
      >>> weights = aj.attention_weights(x, x, score=aj.forget_gate(log_f), mask=aj.causal())[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[1.   0.   0.  ]
       [0.33 0.67 0.  ]
       [0.14 0.29 0.57]]
    """
    return ForgetGate(floats("log_f", log_f), None, positions_of("offset", offset))


class GateSums(PytreeNode):
    """Sums of log f up to a position: rounded, what the rounding left out, and the number of gates of 0."""

    sums: Any
    rests: Any
    borders: Any


class ForgetGate(Score):
    """After `bind` with sums of log f up to each query (`log_f`) and up to each key (`key_sums`)."""

    log_f: Any
    key_sums: Any
    offset: Any = position()

    def bind(self, sizes: Sizes, dtype: Any) -> Score:
        """Returns the score with its arrays laid out for calls of these sizes."""
        expected = (*sizes.batch, sizes.keys, sizes.heads)
        if self.log_f.shape != expected:
            raise ValueError(
                f"log_f has shape {list(self.log_f.shape)}: expected {list(expected)} (*B, S, N)"
            )
        log_f = self.log_f.astype(dtype).reshape(sizes.flat_batch, *expected[-2:])
        log_f = jnp.swapaxes(log_f, 1, 2)
        closed = log_f < LOWEST_LOG_GATE
        sums = running_sums(jnp.where(closed, 0, log_f))
        whole = (*sums, jnp.cumsum(closed, axis=2, dtype=jnp.int32))
        before = (jnp.pad(x, ((0, 0), (0, 0), (1, 0))) for x in whole)  # The sum before position 0 is 0.
        offset = batch_grid("offset", self.offset, sizes).array[..., 0]
        position = offset + of_rank(jnp.arange(sizes.queries, dtype=jnp.int32), offset.ndim) + 1
        return replace(
            self,
            log_f=GateSums(*(Grid(_taken(x, position)[..., None]) for x in before)),
            key_sums=GateSums(*(Grid(x[:, :, None, :]) for x in whole)),
        )

    def apply(self, scores: Array, at: Block, attended: Array | None) -> Array:
        """Returns the changed scores of a block."""
        query, key = self.log_f, self.key_sums
        between = query.sums.array - key.sums.array + (query.rests.array - key.rests.array)
        return jnp.where(query.borders.array == key.borders.array, scores + between, -jnp.inf)


def _taken(x: Array, position: Array) -> Array:
    """Returns x [B, N, S+1] at positions [B|1, 1, T]; those beyond the last are the last."""
    if position.shape[0] == 1:
        return jnp.take(x, position[0, 0], axis=2, mode="clip")
    return jnp.take_along_axis(x, position, axis=2, mode="clip")
