"""Normalisers: from scores (-inf where masked) to weights. Only softmax has a log-sum-exp."""

from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.core.checks import floats, scalar_above
from attnjax.ops.core.node import PytreeNode
from attnjax.ops.core.pairs import Grid, Sizes
from attnjax.ops.normalizers.sparse_weights import entmax_weights, sparsemax_weights


class Sums(NamedTuple):
    """Of each row the highest score, and the sum of all exponentials above it; both 0 for a row without keys.

    A sink is one of the scores. The highest is a constant: its derivative is 0, and all is in the total's.
    """

    highest: Float[Array, "B N t"]
    total: Float[Array, "B N t"]

    @property
    def lse(self) -> Float[Array, "B N t"]:
        """The log-sum-exp; -inf without keys."""
        empty = self.total == 0
        return jnp.where(empty, -jnp.inf, self.highest + jnp.log(jnp.where(empty, 1, self.total)))


class Normalizer(PytreeNode):
    """Turns rows of scores into weights; masked pairs weigh 0, and so do all pairs of a row without keys.

    `route` says what an engine has to see of a row: "online" can be built up block by block with a running
    log-sum-exp, "pairwise" needs no row at all, "whole" needs the entire row at once.
    """

    route: ClassVar[Literal["online", "pairwise", "whole"]] = "whole"

    def bind(self, sizes: Sizes, dtype: Any) -> "Normalizer":
        """The normaliser for these sizes, computed in `dtype`."""
        return self

    def weights(
        self, scores: Float[Array, "B N t S"], attended: Bool[Array, "..."] | None
    ) -> tuple[Float[Array, "B N t S"], Sums | None]:
        """The weights of whole rows, and their sums where the normaliser has such."""
        raise NotImplementedError

    def pair_weights(
        self,
        scores: Float[Array, "B N t s"],
        level: Float[Array, "B N t"],
        attended: Bool[Array, "..."] | None,
    ) -> Float[Array, "B N t s"]:
        """The weights of a block, relative to each row's `level` if "online"; not for "whole" rows.

        Masked pairs weigh exactly 0, even in a row that holds NaN.
        """
        raise NotImplementedError


def softmax(sink: Float[Array, " N"] | None = None) -> Normalizer:
    """exp(s_ij) / (exp(sink_h) + Σ_j exp(s_ij)): a sink takes weight that goes to no value.

    `sink` [N] holds one learned logit per head (gpt-oss, 2025; Xiao et al., 2023). The log-sum-exp of a row
    that has a key includes it.

    Raises TypeError for a sink that is not floating point, ValueError for another shape.

    >>> import attnjax as aj
    >>> x = jnp.zeros((2, 1, 4))
    >>> weights = aj.attention_weights(x, x, normalizer=aj.softmax(jnp.zeros(1)))[0]
    >>> print(jnp.array_str(weights, precision=2))
    [[0.33 0.33]
     [0.33 0.33]]
    """
    return Softmax(None if sink is None else floats("sink", sink))


def sigmoid(bias: float | Float[Array, ""] | Float[Array, " N"] = 0.0) -> Normalizer:
    """σ(s_ij + bias), each pair on its own; a scalar or one value per head, -log S at the start of training.

    Theory, Analysis, and Best Practices for Sigmoid Self-Attention (Ramapuram et al., 2024).

    Raises TypeError for a bias that is not floating point, ValueError for another shape.

    >>> import attnjax as aj
    >>> x = jnp.zeros((2, 1, 4))
    >>> weights = aj.attention_weights(x, x, normalizer=aj.sigmoid(-jnp.log(2.0)))[0]
    >>> print(jnp.array_str(weights, precision=2))
    [[0.33 0.33]
     [0.33 0.33]]
    """
    return Sigmoid(bias if isinstance(bias, (int, float)) else floats("bias of sigmoid", bias))


def sparsemax() -> Normalizer:
    """The point of the simplex nearest to the scores: many weights are 0 (Martins & Astudillo, 2016).

    >>> import attnjax as aj
    >>> x = jnp.array([0.0, 0.5, 2.0])[:, None, None]
    >>> weights = aj.attention_weights(x, x, normalizer=aj.sparsemax())[0]
    >>> print(jnp.array_str(weights, precision=2))
    [[0.33 0.33 0.33]
     [0.   0.12 0.88]
     [0.   0.   1.  ]]
    """
    return Sparsemax()


def entmax(alpha: float | Float[Array, ""] = 1.5) -> Normalizer:
    """[(α-1)s - τ]₊^(1/(α-1)) with τ so that a row sums to 1: α → 1 is softmax, α = 2 sparsemax.

    Differentiable in the scores and in α. Peters et al., 2019; learned α: Correia et al., 2019. ValueError
    for an α not above 1.

    >>> import attnjax as aj
    >>> x = jnp.array([0.0, 0.5, 2.0])[:, None, None]
    >>> weights = aj.attention_weights(x, x, normalizer=aj.entmax(1.5))[0]
    >>> print(jnp.array_str(weights, precision=2))
    [[0.33 0.33 0.33]
     [0.11 0.21 0.69]
     [0.   0.   1.  ]]
    """
    return Entmax(scalar_above("alpha", alpha, 1))


class Softmax(Normalizer):
    route = "online"
    sink: Any

    def bind(self, sizes: Sizes, dtype: Any) -> Normalizer:
        if self.sink is None:
            return self
        if self.sink.shape != (sizes.heads,):
            raise ValueError(f"sink has shape {list(self.sink.shape)}: expected [{sizes.heads}] (N)")
        return Softmax(self.sink.astype(dtype))

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, Sums]:
        weights, sums, _ = _softmax(scores, self.sink, attended)
        return weights, sums

    def pair_weights(self, scores: Array, level: Array, attended: Array | None) -> Array:
        weights = jnp.exp(scores - finite(level)[..., None])
        return weights if attended is None else jnp.where(attended, weights, 0)

    def shares(
        self, highest: Float[Array, "B N t"], total: Float[Array, "B N t"]
    ) -> tuple[Array, Array, Sums]:
        """What makes weights of the exponentials of rows, the weight of the sink, and the rows' sums.

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
    """The weights of rows, their sums, and the weight of the sink.

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


class Sigmoid(Normalizer):
    route = "pairwise"
    bias: Any

    def bind(self, sizes: Sizes, dtype: Any) -> Normalizer:
        bias = jnp.asarray(self.bias, dtype)
        if bias.shape not in ((), (sizes.heads,)):
            raise ValueError(
                f"bias of sigmoid has shape {list(bias.shape)}: expected [] or [{sizes.heads}] (N)"
            )
        return Sigmoid(Grid(bias.reshape(1, -1, 1, 1)))

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        return self.pair_weights(scores, scores, attended), None

    def pair_weights(self, scores: Array, level: Array, attended: Array | None) -> Array:
        weights = jax.nn.sigmoid(finite(scores) + self.bias.array)
        return jnp.where(jnp.isneginf(scores), 0, weights)


class Sparsemax(Normalizer):
    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        return sparsemax_weights(scores), None


class Entmax(Normalizer):
    alpha: Any

    def weights(self, scores: Array, attended: Array | None) -> tuple[Array, None]:
        return entmax_weights(scores, jnp.asarray(self.alpha, scores.dtype)), None


def finite(x: Array) -> Array:
    """x with -inf replaced by 0: what a row without keys may subtract."""
    return jnp.where(jnp.isneginf(x), 0, x)
