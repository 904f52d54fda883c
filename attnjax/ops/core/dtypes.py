"""Dtypes joined by name, for those who forbid jax to do it by itself (`jax_numpy_dtype_promotion`)."""

from typing import Any

import jax
import jax.numpy as jnp


def joined(*given: Any) -> Any:
    """Returns the dtype that jax joins arrays and dtypes in, unless it is told to join none.

    >>> with jax.numpy_dtype_promotion("strict"):
    ...     print(joined(jnp.bfloat16, jnp.float32))
    float32
    """
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*given)


def accumulation_dtype(*given: Any) -> Any:
    """Returns the dtype that sums over such arrays are kept in: float32, or float64 where one has it.

    >>> print(accumulation_dtype(jnp.ones(2, jnp.bfloat16)))
    float32
    """
    return joined(*given, jnp.float32)
