"""Performer, and its random features."""

from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from attnjax.ops.core.checks import count, floats
from attnjax.ops.linear.members.common import (
    Options,
    at_least_float32,
    entrance,
    known_arguments,
    parameter,
)
from attnjax.ops.linear.members.features import normalized


@known_arguments
def performer(
    query: Float[Array, "*B T N H"],
    key: Float[Array, "*B T K H"],
    value: Float[Array, "*B T K V"],
    *,
    projection: Float[Array, "F H"],
    two_sided: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Performer: softmax attention by positive random features (FAVOR+).

        φ(x) = exp(Ωx - |x|²/2) of x / H^¼,  E[φ(q)ᵀφ(k)] / F = exp(q·k/√H)

    Features of queries are divided by their largest, which cancels. Those of keys are not, as their
    largest is not known before the last token. The state is [*B, K, F, V + 1].

    Other arguments, the result and errors are those of `linear_attention`.

    Args:
      query: [*B, T, N, H], floating point, N divisible by K.
      key: [*B, T, K, H], floating point.
      value: [*B, T, K, V], floating point.
      projection: [F, H], Ω, as from `orthogonal_features`; the same for all calls that share a state.
      two_sided: the sums run over all tokens instead of those up to t.

    References:
      Choromanski et al., Rethinking Attention with Performers, 2020 (arXiv:2009.14794).

    Example:
      >>> x, value = jnp.zeros((3, 1, 2)), jnp.array([[[1.0]], [[2.0]], [[6.0]]])
      >>> print(performer(x, x, value, projection=orthogonal_features(jax.random.key(0), 4, 2)).ravel())
      [1.  1.5 3. ]
    """
    query, key, value = entrance(query, key, value, options)
    size = key.shape[-1]
    projection = floats("projection", projection)
    projection = parameter("projection", projection, (*projection.shape[:1], size), "F, H")

    def exponents(x: Array) -> Array:
        x = at_least_float32(x) * size**-0.25
        return x @ projection.T.astype(x.dtype) - (x * x).sum(-1, keepdims=True) / 2

    q = exponents(query)
    highest = jax.lax.stop_gradient(q.max(-1, keepdims=True))
    return normalized(jnp.exp(q - highest), jnp.exp(exponents(key)), value, two_sided, options)


def orthogonal_features(rng: PRNGKeyArray, features: int, size: int) -> Float[Array, "F H"]:
    """Returns `features` Gaussian directions of `size` channels, orthogonal in blocks of `size`.

    Each block is a random rotation, its rows as long as those of a Gaussian matrix: Choromanski et al.,
    2020 (arXiv:2009.14794).

    >>> rows = orthogonal_features(jax.random.key(0), 4, 4)
    >>> bool(jnp.allclose(rows @ rows.T, jnp.diag((rows * rows).sum(-1)), atol=1e-5))
    True
    """
    blocks = -(-count("features", features) // count("size", size))
    for_directions, for_lengths = jax.random.split(rng)
    directions, upper = jnp.linalg.qr(jax.random.normal(for_directions, (blocks, size, size)))
    # Uniform over rotations only with the signs of the diagonal: QR fixes them otherwise.
    directions = directions * jnp.sign(jnp.diagonal(upper, axis1=-2, axis2=-1))[:, None, :]
    lengths = jnp.linalg.norm(jax.random.normal(for_lengths, (features, size)), axis=-1)
    return directions.swapaxes(-1, -2).reshape(-1, size)[:features] * lengths[:, None]
