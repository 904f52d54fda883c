"""The slopes of ALiBi."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def alibi_slopes(heads: int) -> Float[Array, " heads"]:
    """Returns ALiBi's slope of each head: 2^(-8i/heads) for i = 1..heads when heads is a power of two.

    Otherwise the slopes of the power of two m below, then every other slope of 2m, as in the authors' code.

    Args:
      heads: number of heads N.

    Returns:
      The slopes [N], float32.

    Raises:
      ValueError: heads is not positive.

    References:
      Press et al., Train Short, Test Long: Attention with Linear Biases, 2021 (arXiv:2108.12409).

    Example:
      >>> alibi_slopes(4).tolist()
      [0.25, 0.0625, 0.015625, 0.00390625]
      >>> alibi_slopes(3).tolist()
      [0.0625, 0.00390625, 0.25]
    """
    if heads < 1:
        raise ValueError(f"heads is {heads}: expected a positive number")
    below = 1 << (heads.bit_length() - 1)
    first, between = _geometric_slopes(below), _geometric_slopes(2 * below)[0::2]
    return jnp.asarray(np.concatenate([first, between[: heads - below]]), jnp.float32)


def _geometric_slopes(heads: int) -> np.ndarray:
    return 2.0 ** (-8.0 * np.arange(1, heads + 1) / heads)
