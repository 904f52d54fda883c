"""Softmax, with a sink or without."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import floats
from attnjax.ops.core.pairs import Sizes
from attnjax.ops.normalizers.base import Normalizer, Sums, finite


def softmax(sink: Float[Array, " N"] | None = None) -> Normalizer:
    """Returns the normaliser exp(s_ij) / (exp(sink_h) + Σ_j exp(s_ij)); a sink takes weight to no value.

    Args:
      sink: [N], one logit per head; differentiable. The log-sum-exp of a row that has a key includes it. None
        has no such term.

    Returns:
      The normaliser.

    Raises:
      TypeError: the sink is not floating point.
      ValueError: the sink is not one per head (when attention is called).

    References:
      Xiao et al., Efficient Streaming Language Models with Attention Sinks, 2023 (arXiv:2309.17453).
      OpenAI, gpt-oss-120b & gpt-oss-20b Model Card, 2025 (arXiv:2508.10925).

    Example:
      >>> import attnjax as aj
      >>> x = jnp.zeros((2, 1, 4))
      >>> weights = aj.attention_weights(x, x, normalizer=aj.softmax(jnp.zeros(1)))[0]
      >>> print(jnp.array_str(weights, precision=2))
      [[0.33 0.33]
       [0.33 0.33]]
    """
    return Softmax(None if sink is None else floats("sink", sink))


class Softmax(Normalizer):
    """The normaliser that `softmax` returns."""

    route = "online"
    sink: Any

    def bind(self, sizes: Sizes, dtype: Any) -> Normalizer:
        """Returns the normaliser with its arrays laid out for calls of these sizes."""
        if self.sink is None:
            return self
        if self.sink.shape != (sizes.heads,):
            raise ValueError(f"sink has shape {list(self.sink.shape)}: expected [{sizes.heads}] (N)")
        return Softmax(self.sink.astype(dtype))

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, Sums]:
        """Returns the weights of whole rows of scores."""
        weights, sums, _ = _softmax(scores, self.sink, attended)
        return weights, sums

    def pair_weights(self, scores: Array, level: Array, attended: Array | None) -> Array:
        """Returns the weights of a block of pairs, given the level of each row."""
        weights = jnp.exp(scores - finite(level)[..., None])
        return weights if attended is None else jnp.where(attended, weights, 0)

    def shares(
        self, highest: Float[Array, "B N t"], total: Float[Array, "B N t"]
    ) -> tuple[Array, Array, Sums]:
        """Returns what makes weights of the exponentials of rows, the weight of the sink, and the rows' sums.

        `total` is Σ_j exp(s_j - highest), 0 without keys. The sink is one more term. No weight is made of the
        log-sum-exp: far from 0 it has rounded the log of the sum away.
        """
        level, kept, sunk, empty = highest, jnp.ones_like(total), jnp.zeros_like(total), total == 0
        if self.sink is not None:
            sink = self.sink[None, :, None]
            level = jax.lax.stop_gradient(jnp.maximum(highest, sink))
            kept, sunk = jnp.exp(highest - level), jnp.where(empty, 0, jnp.exp(sink - level))
        sums = Sums(level, total * kept + sunk)
        whole = jnp.where(empty, 1, sums.total)
        return kept / whole, sunk / whole, sums


@jax.custom_jvp
def _softmax(scores: Array, sink: Array | None, attended: Array | None) -> tuple[Array, Sums, Array]:
    """Returns the weights of rows, their sums, and the weight of the sink.

    Its derivative needs the weights alone: a gradient keeps no exponentials beside them.
    """
    softmax = Softmax(sink)
    highest = finite(jnp.max(scores, axis=-1, initial=-jnp.inf))
    exponentials = softmax.pair_weights(scores, highest, attended)
    share, sunk, sums = softmax.shares(highest, exponentials.sum(axis=-1))
    return exponentials * share[..., None], sums, sunk


@_softmax.defjvp
def _softmax_jvp(primals: Any, tangents: Any) -> Any:
    weights, sums, sunk = _softmax(*primals)
    d_scores, d_sink, _ = tangents
    d_sink = 0 if d_sink is None else d_sink[None, :, None]
    d_lse = (weights * d_scores).sum(axis=-1) + sunk * d_sink
    d_sums = Sums(jnp.zeros_like(sums.highest), sums.total * d_lse)
    return (weights, sums, sunk), (weights * (d_scores - d_lse[..., None]), d_sums, sunk * (d_sink - d_lse))
