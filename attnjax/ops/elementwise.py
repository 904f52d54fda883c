"""A user's function of scalars, applied to every pair of a block."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import partial_eval
from jaxtyping import Array


def hoisted(fn: Callable[..., Any], *example: Array) -> tuple[Callable[..., Any], list[Any]]:
    """(fn', values) with fn(*args) = fn'(*args, *values): arrays that `fn` closes over and that may carry a
    gradient become arguments, because engines differentiate by rules of their own."""
    converted, values = jax.closure_convert(fn, *example)
    # An unchanged function keeps its identity, and with it its place in jit's cache.
    return (converted, values) if values else (fn, [])


def needed(fn: Callable[..., Any], *example: Array) -> tuple[bool, ...]:
    """For each argument, whether the result of `fn` depends on it: what is left when dead code is cut.

    >>> needed(jax.jit(lambda b, i, j: i > j), *jnp.arange(3))
    (False, True, True)
    """
    jaxpr = jax.make_jaxpr(fn)(*example).jaxpr
    _, used = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return tuple(used)


def elementwise(fn: Callable[..., Any], *arrays: Array) -> Array:
    """`fn` of scalars mapped over 4-D arrays that broadcast against each other.

    Axes of size 1 are not mapped, so that what depends on the head only is computed once per head.
    """
    shape = jnp.broadcast_shapes(*(x.shape for x in arrays))
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            continue
        fn = jax.vmap(fn, in_axes=tuple(None if x.shape[axis] == 1 else 0 for x in arrays))
    squeezed = [x.reshape([n for n in x.shape if n != 1]) for x in arrays]
    return fn(*squeezed).reshape(shape)
