"""Angles of positions, exact far from the beginning too."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array


def integers(name: str, value: ArrayLike) -> Array:
    """Returns the value as an array of int32; TypeError when it holds no integers."""
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} has dtype {array.dtype}: expected integers")
    return array.astype(jnp.int32)


def frequencies(dim: int, base: float) -> np.ndarray:
    """Returns base^(-2i/dim) in radians per token, i = 0..dim/2-1, in float64."""
    return np.power(float(base), -np.arange(0, dim, 2) / dim)


def angles(positions: Array, frequencies: np.ndarray | Array, dtype: np.dtype) -> Array:
    """Returns positions·frequencies [..., i] in radians, up to whole turns when the dtype is not float64.

    A float32 product is off by 0.004 rad at position 100,000. So the turns are counted in units of 2^-32 with
    integers, whose overflow is a whole turn, and the tiny remainder of each frequency is added in float32.
    Frequencies of jax, known only when the program runs, are multiplied in the dtype.

    Args:
      positions: integers [*T].
      frequencies: radians per token, [i] of NumPy in float64, or [*T|1, i] of jax.
      dtype: of the angles, float32 or float64.
    """
    positions = positions[..., None]
    if isinstance(frequencies, jax.Array):
        return positions.astype(dtype) * frequencies.astype(dtype)
    frequencies = frequencies.reshape((1,) * (positions.ndim - 1) + (-1,))
    if dtype == jnp.float64:
        return positions.astype(dtype) * frequencies
    turns = frequencies / (2 * np.pi) % 1.0 * 2.0**32
    whole = np.floor(turns)
    rest = (turns - whole) * (2 * np.pi / 2.0**32)
    count = positions.astype(jnp.uint32) * jnp.asarray(whole, jnp.uint32)
    signed = jax.lax.bitcast_convert_type(count, jnp.int32).astype(jnp.float32)
    return signed * np.float32(2 * np.pi / 2.0**32) + positions.astype(jnp.float32) * rest.astype(np.float32)
