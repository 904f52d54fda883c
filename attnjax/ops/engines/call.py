"""The call that an engine gets, in normal form, and the arithmetic on pairs that all engines share."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.comparisons import PairFunction
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.pairs import Block, Sizes
from attnjax.ops.core.weight_dropout import WeightDropout
from attnjax.ops.masks.base import Mask
from attnjax.ops.normalizers import Normalizer, Sums
from attnjax.ops.scores import Score


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Semantics:
    """The rules for the products of queries and keys, or what `pairs` has in their place.

    Arrays per pair are Grids.
    """

    mask: Mask | None
    scores: tuple[Score, ...]
    normalizer: Normalizer
    dropout: WeightDropout | None
    sizes: Sizes = dataclasses.field(metadata={"static": True})
    precision: Any = dataclasses.field(metadata={"static": True})
    pairs: PairFunction | None = dataclasses.field(default=None, metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AttentionCall:
    """One call of attention: the batch axes are one, masks and scores are bound to the sizes."""

    query: Float[Array, "B T N H"]
    key: Float[Array, "B S K H"]
    value: Float[Array, "B S K V"]
    scale: Float[Array, ""]
    rules: Semantics

    @property
    def dtype(self) -> Any:
        """The dtype of scores, softmax and accumulation: float32, or float64 when an input is float64."""
        return accumulation_dtype(self.query, self.key, self.value)


class Result(NamedTuple):
    """The output in the softmax's dtype; `sums` is None for normalisers that have none."""

    out: Float[Array, "B T N V"]
    sums: Sums | None


def pair_scores(
    products: Float[Array, "B N t s"], rules: Semantics, at: Block, attended: Bool[Array, "..."] | None
) -> Float[Array, "B N t s"]:
    """Leads scale·(q·k) through the scores in their order to the mask (-inf), on one block.

    Masked pairs are set to 0 before every score, so that no NaN of theirs meets a derivative.
    """

    def guarded(scores: Array, fill: float) -> Array:
        return scores if attended is None else jnp.where(attended, scores, fill)

    scores = products
    for score in rules.scores:
        scores = score.apply(guarded(scores, 0), at, attended)
    return guarded(scores, -jnp.inf)


def dropped(weights: Float[Array, "B N t s"], rules: Semantics) -> Float[Array, "B N t s"]:
    """Returns the weights after dropout."""
    return weights if rules.dropout is None else rules.dropout(weights)


class Nonfinite(NamedTuple):
    """NaN for each query, and each key or value, that holds NaN or inf, else 0; None where no mask is given.

    Engines compute with `clean` vectors and add these NaNs to the scores of the pairs that attend. So it
    comes back exactly there, and a masked vector reaches no row, forward or backward, although a matrix
    product would multiply it by 0.
    """

    query: Float[Array, "B T N"]
    key: Float[Array, "B S K"]


def nonfinite_of(call: AttentionCall) -> Nonfinite | None:
    """Returns what is not finite among the vectors of a call; None where no mask is given."""
    if call.rules.mask is None:
        return None
    # A product with zeros is NaN for just these, and the fastest pass over them.
    query, key, value = (
        jnp.matmul(x, jnp.zeros(x.shape[-1], x.dtype), precision="highest")
        for x in jax.lax.stop_gradient((call.query, call.key, call.value))
    )
    return Nonfinite(query.astype(call.dtype), (key + value).astype(call.dtype))


def clean(x: Float[Array, "..."], masked: bool) -> Float[Array, "..."]:
    """Returns x with NaN and inf replaced by 0, where a mask is given."""
    return jnp.where(jnp.isfinite(x), x, 0) if masked else x
