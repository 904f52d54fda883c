"""Sparsemax and α-entmax over the last axis; -inf marks entries that take no part."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.ranks import of_rank


def sparsemax_weights(scores: Float[Array, "*rows S"]) -> Float[Array, "*rows S"]:
    """[s - τ]₊ with τ so that a row sums to 1, by sorting (Martins & Astudillo, 2016, algorithm 1)."""
    present, z = _shifted(scores)
    if z.shape[-1] == 0:
        return z
    # Entries that take no part are sorted behind all others: shifted scores of the support lie above -1.
    ordered = -jnp.sort(jnp.where(present, -jax.lax.stop_gradient(z), 2.0), axis=-1)
    rank = of_rank(jnp.arange(1, z.shape[-1] + 1, dtype=z.dtype), z.ndim)
    size = jnp.sum(1 + rank * ordered > jnp.cumsum(ordered, axis=-1), axis=-1, keepdims=True)
    last = jnp.take_along_axis(ordered, jnp.maximum(size - 1, 0), axis=-1)
    support = present & (jax.lax.stop_gradient(z) >= last)
    count = jnp.maximum(support.sum(axis=-1, keepdims=True, dtype=z.dtype), 1)
    threshold = (jnp.where(support, z, 0).sum(axis=-1, keepdims=True) - 1) / count
    return jnp.where(support, z - threshold, 0)


def entmax_weights(scores: Float[Array, "*rows S"], alpha: Float[Array, ""]) -> Float[Array, "*rows S"]:
    """[(α-1)s - τ]₊^(1/(α-1)): τ by bisection, then two Newton steps that carry the derivatives.

    The bisection has none; each Newton step from the root doubles the number of correct derivatives, so two
    make the first and the second exact, in the scores and in α.
    """
    present, z = _shifted(scores)
    z = z * (alpha - 1)

    def powers(threshold: Array, exponent: Array) -> Array:
        base = z - threshold
        inside = present & (base > 0)
        return jnp.where(inside, jnp.where(inside, base, 1) ** exponent, 0)

    def total(threshold: Array) -> Array:
        return powers(threshold, 1 / (alpha - 1)).sum(axis=-1, keepdims=True)

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        above = total(middle) >= 1
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    # The highest shifted score is 0: τ = -1 gives it weight 1, τ = 0 gives every entry weight 0.
    edge = jnp.zeros_like(z[..., :1])
    steps = jnp.finfo(z.dtype).nmant + 2
    threshold, _ = jax.lax.fori_loop(0, steps, halve, (edge - 1, edge))
    threshold = jax.lax.stop_gradient(threshold)
    for _ in range(2):
        slope = powers(threshold, 1 / (alpha - 1) - 1).sum(axis=-1, keepdims=True) / (alpha - 1)
        threshold = threshold + (total(threshold) - 1) / jnp.where(slope > 0, slope, 1)
    return powers(threshold, 1 / (alpha - 1))


def _shifted(scores: Array) -> tuple[Array, Array]:
    """Which entries take part, and the scores with the row's highest at 0 (0 where none takes part)."""
    present = ~jnp.isneginf(scores)
    highest = jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True, initial=-jnp.inf))
    highest = jnp.where(jnp.isneginf(highest), 0, highest)
    return present, jnp.where(present, scores - highest, 0)
