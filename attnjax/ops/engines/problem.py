"""What an engine is given, in normal form, and the arithmetic on pairs that all engines share."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from attnjax.ops.dropout import Dropout
from attnjax.ops.grid import Block, Sizes
from attnjax.ops.masks.algebra import Mask
from attnjax.ops.normalizers import Normalizer
from attnjax.ops.scores import Score


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rules:
    """Everything about a call but its queries, keys and values; arrays per pair are Grids."""

    scale: Float[Array, ""]
    mask: Mask | None
    scores: tuple[Score, ...]
    normalizer: Normalizer
    dropout: Dropout | None
    sizes: Sizes = dataclasses.field(metadata={"static": True})
    precision: Any = dataclasses.field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Problem:
    """One call of attention: the batch axes are one, masks and scores are bound to the sizes."""

    query: Float[Array, "B T N H"]
    key: Float[Array, "B S K H"]
    value: Float[Array, "B S K V"]
    rules: Rules

    @property
    def dtype(self) -> Any:
        """The dtype of scores, softmax and accumulation: float32, or float64 when an input is float64."""
        return jnp.result_type(self.query, self.key, self.value, jnp.float32)


class Result(NamedTuple):
    """In the problem's dtype; `lse` is None for normalisers that have none."""

    out: Float[Array, "B T N V"]
    lse: Float[Array, "B N T"] | None


class Clean(NamedTuple):
    """Vectors whose NaN and inf are replaced by 0, and NaN (else 0) for each vector that held one.

    Adding `poison` where a pair is attended puts the NaN back exactly there. So a masked key or value reaches
    no row, forward or backward, although a matrix product would multiply it by 0.
    """

    vectors: Float[Array, "... n"]
    poison: Float[Array, "..."]


def clean(x: Float[Array, "... n"]) -> Clean:
    ok = jnp.isfinite(x)
    return Clean(jnp.where(ok, x, 0), jnp.where(ok.all(axis=-1), 0, jnp.nan).astype(x.dtype))


def pair_scores(
    query: Float[Array, "B K G t H"],
    key: Float[Array, "B K s H"],
    rules: Rules,
    at: Block,
    attended: Bool[Array, "..."] | None,
) -> Float[Array, "B N t s"]:
    """scale·(q·k), then the scores in their order, then the mask (-inf), on one block.

    Masked pairs are set to 0 before the scale and every score, so that no NaN of theirs meets a derivative.
    """

    def dot(query: Array, key: Array) -> Array:
        return jnp.einsum("bkgth,bksh->bkgts", query, key, precision=rules.precision)

    if attended is None:
        products = dot(query, key)
    else:
        queries, keys = clean(query), clean(key)
        poison = queries.poison[..., None] + keys.poison[:, :, None, None, :]
        products = dot(queries.vectors, keys.vectors) + poison

    def guarded(scores: Array, fill: float) -> Array:
        return scores if attended is None else jnp.where(attended, scores, fill)

    scores = guarded(_merge_heads(products), 0) * rules.scale
    for score in rules.scores:
        scores = score.apply(guarded(scores, 0), at, attended)
    return guarded(scores, -jnp.inf)


def weigh(
    weights: Float[Array, "B N t s"],
    value: Float[Array, "B K s V"],
    rules: Rules,
    attended: Bool[Array, "..."] | None,
) -> Float[Array, "B K G t V"]:
    """Dropout, then Σ_j weights_ij · value_j on one block."""
    if rules.dropout is not None:
        weights = rules.dropout(weights)
    batch, heads, t, s = weights.shape
    groups = value.shape[1]
    weights = weights.reshape(batch, groups, heads // groups, t, s)
    if attended is not None:
        value, poison = clean(value)
        attended = jnp.broadcast_to(attended, (batch, heads, t, s)).reshape(weights.shape)
        weights = jnp.where(attended, weights + poison[:, :, None, None, :], 0)
    return jnp.einsum("bkgts,bksv->bkgtv", weights, value, precision=rules.precision)


def split_heads(problem: Problem) -> tuple[Array, Array, Array]:
    """Query [B, K, G, T, H], key [B, K, S, H] and value [B, K, S, V] in the problem's dtype."""
    groups = problem.key.shape[2]
    query, key, value = (x.astype(problem.dtype) for x in (problem.query, problem.key, problem.value))
    query = query.reshape(*query.shape[:2], groups, query.shape[2] // groups, query.shape[3])
    return jnp.moveaxis(query, 1, 3), jnp.swapaxes(key, 1, 2), jnp.swapaxes(value, 1, 2)


def join_heads(out: Float[Array, "B K G T V"]) -> Float[Array, "B T N V"]:
    out = jnp.moveaxis(out, 3, 1)
    return out.reshape(*out.shape[:2], out.shape[2] * out.shape[3], out.shape[4])


def _merge_heads(x: Array) -> Array:
    return x.reshape(x.shape[0], x.shape[1] * x.shape[2], *x.shape[3:])
