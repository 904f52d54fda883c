"""One vector of the tokens of a stack: their mean or sum, or what a mechanism makes of them."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attnjax.models.output import Captured
from attnjax.models.padding import Present, inside
from attnjax.nn.pooling import Pool
from attnjax.nn.taps import within
from attnjax.ops.core.dtypes import accumulation_dtype


def pooled(
    pool: Pool,
    states: Float[Array, "B T D"],
    present: Present | None,
    captured: Captured,
    *,
    sentences: Int[Array, "B T"] | None = None,
) -> Float[Array, "B D"]:
    """Returns what a pool makes of each row's tokens; `captured` takes in its weights under "pool".

    A capture of some layers leaves the pool out. `sentences` are the numbers of the tokens' sentences, for a
    pool that reads them.
    """
    asked = captured.asked
    asked = None if asked is None or asked.layers is not None else asked
    there = None if present is None else inside(present, states.shape[1])
    request = asked or within(captured.sites, "pool")
    own = pool(states, present=there, sentences=sentences, capture=request)
    if own.weights is not None:
        captured.weights["pool"] = own.weights
    return own.out


def total(states: Float[Array, "B T D"], present: Present | None) -> Float[Array, "B D"]:
    """Returns the sum of the vectors of each row's tokens, 0 of a row without any."""
    wide = states.astype(accumulation_dtype(states))
    if present is not None:
        wide = jnp.where(inside(present, states.shape[1])[..., None], wide, 0)
    return wide.sum(axis=1).astype(states.dtype)


def mean(states: Float[Array, "B T D"], present: Present | None) -> Float[Array, "B D"]:
    """Returns the mean of the vectors of each row's tokens, 0 of a row without any."""
    wide = states.astype(accumulation_dtype(states))
    if present is None:
        return wide.mean(axis=1).astype(states.dtype)
    there = inside(present, states.shape[1])
    total = jnp.where(there[..., None], wide, 0).sum(axis=1)
    return (total / jnp.maximum(there.sum(axis=1, keepdims=True), 1)).astype(states.dtype)
