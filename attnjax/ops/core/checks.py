"""Checks of single arguments; each names the argument, what came and what was expected."""

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

_NUMERIC: Any = (numbers.Real, np.generic, np.ndarray, jax.Array)


def array(name: str, x: Any) -> Array:
    """Returns x as an array; TypeError for what is none."""
    try:
        return jnp.asarray(x)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {x!r}: expected an array") from None


def floats(name: str, x: Any) -> Array:
    """Returns x as an array of floating point; TypeError for anything else."""
    x = array(name, x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"{name} is an array of {x.dtype}: expected floating point")
    if jnp.finfo(x.dtype).bits < 16:
        # jax promotes them to nothing, because they mean little without a scale.
        raise TypeError(
            f"{name} is an array of {x.dtype}: expected 16 bits or more (cast it, times its scale)"
        )
    return x


def scalar(name: str, x: Any) -> Any:
    """Returns x itself, a number or an array [], which may be traced."""
    if isinstance(x, bool) or not isinstance(x, _NUMERIC):
        raise TypeError(f"{name} is {x!r}: expected a number")
    if jnp.ndim(x) != 0:
        raise ValueError(f"{name} has shape {list(jnp.shape(x))}: expected a scalar")
    return x


def scalar_above(name: str, x: Any, least: float) -> Any:
    """Returns what `scalar` does; ValueError for a value, where there is one, that is not above `least`."""
    x = scalar(name, x)
    if not isinstance(x, jax.core.Tracer) and not x > least:
        raise ValueError(f"{name} is {x}: expected a number above {least}")
    return x


def positions_of(name: str, x: Any) -> Any:
    """Returns an int, which stays structure, or an array of int32, which stays data.

    Raises:
      TypeError: it is neither an int nor an integer array.
    """
    if isinstance(x, (int, np.integer)) and not isinstance(x, bool):
        return int(x)
    if not isinstance(x, (jax.Array, np.ndarray)):
        raise TypeError(f"{name} is {x!r}: expected an int or an integer array")
    return positions(name, x)


def whole(name: str, x: Any) -> int:
    """Returns a Python int; TypeError for anything else."""
    if isinstance(x, bool) or not isinstance(x, (int, np.integer)):
        raise TypeError(f"{name} is {x!r}: expected a Python int")
    return int(x)


def count(name: str, x: Any) -> int:
    """Returns a Python int, at least 1."""
    if whole(name, x) < 1:
        raise ValueError(f"{name} is {x}: expected at least 1")
    return int(x)


def positions(name: str, x: Any) -> Array:
    """Returns x as an array of int32, of the nearest that int32 holds; TypeError for what are no integers."""
    x = x if isinstance(x, np.ndarray) else array(name, x)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise TypeError(f"{name} is an array of {x.dtype}: expected integers")
    if x.dtype == jnp.int32:
        return x
    own, limits = jnp.iinfo(x.dtype), jnp.iinfo(jnp.int32)
    return x.clip(max(own.min, limits.min), min(own.max, limits.max)).astype(jnp.int32)
