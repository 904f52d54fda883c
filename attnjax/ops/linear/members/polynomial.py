"""Features of the second degree, which Based and ReBased share."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attnjax.ops.core.ranks import of_rank


def products(x: Float[Array, "... H"]) -> Float[Array, "... F"]:
    """Returns features of x, whose product with those of y is (x·y)².

    They have each pair of channels once: F = H·(H+1)/2.

    >>> print(products(jnp.array([1.0, 2.0])))
    [1.        2.828427  4.       ]
    """
    i, j = np.triu_indices(x.shape[-1])
    weight = jnp.asarray(np.where(i == j, 1, math.sqrt(2)), x.dtype)
    return of_rank(weight, x.ndim) * x[..., i] * x[..., j]
