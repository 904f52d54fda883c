"""Attention over depth: what a layer reads of the outputs of all layers below it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.ops.core.checks import floats
from attnjax.ops.core.dtypes import accumulation_dtype


def depth_attention(
    query: Float[Array, " D"], sources: Float[Array, "L *B D"], gain: Float[Array, " D"], *, eps: float = 1e-6
) -> Float[Array, "*B D"]:
    """Returns Σ_l w_l y_l with w = softmax over l of q·norm(y_l), norm(y) = γ·y/√(mean(y²) + ε).

    In the place of the sum of residual connections, every token weighs the layers below by itself. q = 0
    gives their mean.

    Args:
      query: q, of the layer that reads; learned.
      sources: y, the outputs of the layers below, the embedding first.
      gain: γ.
      eps: ε, in the unit of y².

    Returns:
      The mixture, in the sources' dtype.

    Raises:
      TypeError: an argument is not floating point.
      ValueError: shapes do not fit.

    References:
      Kimi Team, Attention Residuals, 2026 (arXiv:2603.15031).

    Example:
      >>> sources = jnp.stack([jnp.ones((2, 3)), 3 * jnp.ones((2, 3))])
      >>> print(depth_attention(jnp.zeros(3), sources, jnp.ones(3))[0])
      [2. 2. 2.]
    """
    query, sources, gain = (
        floats(name, x) for name, x in (("query", query), ("sources", sources), ("gain", gain))
    )
    if sources.ndim < 2 or sources.shape[0] == 0:
        raise ValueError(f"sources has shape {list(sources.shape)}: expected (L, *B, D), L of at least 1")
    for name, x in (("query", query), ("gain", gain)):
        if x.shape != sources.shape[-1:]:
            raise ValueError(f"{name} has shape {list(x.shape)}: expected [{sources.shape[-1]}] (D)")
    dtype = accumulation_dtype(sources, query)
    wide = sources.astype(dtype)
    size = jax.lax.rsqrt((wide * wide).mean(-1, keepdims=True) + eps)
    scores = (wide * size) @ (query.astype(dtype) * gain.astype(dtype))
    weights = jax.nn.softmax(scores, axis=0)
    return jnp.einsum("l...,l...d->...d", weights, wide).astype(sources.dtype)
