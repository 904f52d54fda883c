"""The inverse of a unit lower triangular matrix by matrix products alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Blocks up to here are inverted where they stand, by products of this size: smaller ones cost more to call.
SMALL = 8


@jax.custom_jvp
def unit_lower_inverse(strict: Float[Array, "C C"]) -> Float[Array, "C C"]:
    """(I + strict)⁻¹ for a strictly lower triangular matrix, by inverses of blocks of 1, 2, 4 … rows.

    Of two neighbouring blocks with inverses X and Y and S below the diagonal, the inverse has -Y S X there:
    log₂ C steps of two products. Unlike the powers of the matrix, whose entries grow like binomial numbers
    when keys repeat, it stays as accurate as forward substitution.

    >>> unit_lower_inverse(jnp.array([[0.0, 0.0], [3.0, 0.0]]))
    Array([[ 1.,  0.],
           [-3.,  1.]], dtype=float32)
    """
    size = strict.shape[0]
    padding = (1 << (size - 1).bit_length()) - size
    strict = jnp.pad(strict, (0, padding))
    block = min(SMALL, size + padding)
    inverse = _inverse_in_place(_blocks(strict, block, below=0))
    while block < size:
        left, right = inverse[::2], inverse[1::2]
        corner = -(right @ _blocks(strict, 2 * block, below=block) @ left)
        above = jnp.concatenate([left, jnp.zeros_like(left)], -1)
        inverse = jnp.concatenate([above, jnp.concatenate([corner, right], -1)], -2)
        block *= 2
    return inverse[0, :size, :size]


@unit_lower_inverse.defjvp
def _jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    inverse = unit_lower_inverse(*primals)
    return inverse, -(inverse @ jnp.tril(tangents[0], -1) @ inverse)


def _blocks(strict: Float[Array, "C C"], size: int, below: int) -> Float[Array, "C/size b b"]:
    """Along the diagonal: the blocks of this size, or their lower left corners of `below` rows."""
    starts = range(0, strict.shape[0], size)
    return jnp.stack([strict[i + below : i + size, i : i + (below or size)] for i in starts])


def _inverse_in_place(strict: Float[Array, "n b b"]) -> Float[Array, "n b b"]:
    size = strict.shape[-1]
    inverse = jnp.broadcast_to(jnp.eye(size, dtype=strict.dtype), strict.shape)
    position, block = jnp.arange(size), 1
    while block < size:
        pair, lower = position // (2 * block), position // block % 2 == 1
        corner = (pair[:, None] == pair[None]) & lower[:, None] & ~lower[None]
        inverse = inverse - inverse @ jnp.where(corner[None], strict, 0) @ inverse
        block *= 2
    return inverse
