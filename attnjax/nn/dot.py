"""The matrix product of every projection."""

import math
from typing import Any

import jax
from jaxtyping import Array, Float

from attnjax.ops.core.explicit_axes import has_explicit_axes


def flat_dot_general(
    x: Float[Array, "..."],
    kernel: Float[Array, "..."],
    dimension_numbers: Any,
    **options: Any,
) -> Float[Array, "..."]:
    """Returns `jax.lax.dot_general` over I of x [*B, *I] and a kernel [*I, *O], as one product of matrices.

    It serves as `dot_general=` of Flax's linear layers. On a CPU, XLA takes about twice as long for the
    gradient of a product with several leading axes as for that of the same product with these axes made one.

    Args:
      x: [*B, *I].
      kernel: [*I, *O].
      dimension_numbers: those of a product of the last axes of x and the first ones of the kernel.
      options: those of `jax.lax.dot_general`.

    Returns:
      The product [*B, *O].

    Raises:
      ValueError: The dimension numbers are others.

    Example:
      >>> import jax.numpy as jnp
      >>> x, kernel = jnp.ones((2, 3, 4)), jnp.ones((4, 5, 6))
      >>> flat_dot_general(x, kernel, (((2,), (0,)), ((), ()))).shape
      (2, 3, 5, 6)
    """
    (left, right), batch = dimension_numbers
    inner = len(left)
    kept = x.ndim - inner
    expected = ((tuple(range(kept, x.ndim)), tuple(range(inner))), ((), ()))
    if ((tuple(left), tuple(right)), tuple(map(tuple, batch))) != expected:
        raise ValueError(f"dimension_numbers {dimension_numbers}: expected {expected}")
    if has_explicit_axes(x, kernel):
        # There it has to say how what it flattens is spread.
        return jax.lax.dot_general(x, kernel, dimension_numbers, **options)
    size = math.prod(kernel.shape[:inner])
    flat = (((1,), (0,)), ((), ()))
    out = jax.lax.dot_general(x.reshape(-1, size), kernel.reshape(size, -1), flat, **options)
    return out.reshape(*x.shape[:kept], *kernel.shape[inner:])
