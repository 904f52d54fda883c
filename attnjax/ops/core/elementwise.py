"""A user's function of scalars, applied to every pair of a block."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attnjax.ops.core.manual_axes import axes_of, evaluate, varying_over
from attnjax.ops.core.primitives import eval_jaxpr, used_inputs


class Closed:
    """A function that takes the traced arrays that it closed over, of any dtype, after its own arguments.

    Equal to another of the same function that closes over equal arrays: so it keeps its place in jit's cache,
    and loses it when what the function closes over has changed.
    """

    def __init__(self, fn: Callable[..., Any], jaxpr: Any, fixed: tuple[Any, ...]) -> None:
        self.fn, self.jaxpr, self.fixed = fn, jaxpr, fixed
        self.__name__ = getattr(fn, "__name__", str(fn))

    def __call__(self, *args: Any) -> Any:
        """Calls the function; arrays that it closed over come last."""
        count = sum(x is None for x in self.fixed)
        if count == 0:
            return self.fn(*args)
        given = iter(args[len(args) - count :])
        closed_over = [next(given) if x is None else x for x in self.fixed]
        leaves = jax.tree.leaves(args[: len(args) - count])
        run = evaluate if jax.sharding.get_abstract_mesh().manual_axes else eval_jaxpr
        return run(self.jaxpr, closed_over, *leaves)[0]

    def __hash__(self) -> int:
        return hash(self.fn)

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Closed) or self.fn != other.fn or len(self.fixed) != len(other.fixed):
            return False
        same = all(_same(x, y) for x, y in zip(self.fixed, other.fixed, strict=True))
        return same and self._text == other._text

    @functools.cached_property
    def _text(self) -> str:
        return str(self.jaxpr)


def _same(x: Any, y: Any) -> bool:
    if x is y:
        return True
    if (
        any(isinstance(z, jax.core.Tracer) or z is None for z in (x, y))
        or x.dtype != y.dtype
        or x.shape != y.shape
    ):
        return False
    return not jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended) and np.array_equal(*jax.device_get((x, y)))


def hoisted(fn: Callable[..., Any], *example: Any) -> tuple[Closed, list[Any], Any]:
    """(fn', values, result) with fn(*args) = fn'(*args, *values), and the shape and dtype of its result.

    Engines keep a function for rules of their own, in which traced arrays of its closure have no place; what
    is known stays in the function.
    """

    def traced(axes: frozenset[str]) -> Any:
        # Under another function each time: JAX would remember what an earlier closure held.
        return jax.make_jaxpr(lambda *args: fn(*_varying(axes, args)), return_shape=True)(*example)

    try:
        closed, result = traced(frozenset())
        if axes := axes_of(*closed.consts):  # As they most likely will be: `evaluate` mends not all.
            closed, _ = traced(axes)
    except TypeError as error:
        if "manual axis types" not in str(error):
            raise
        closed, result = _over_all_axes(fn, traced)
    values: list[Any] = [x for x in closed.consts if _moves(x)]
    fixed = tuple(None if _moves(x) else x for x in closed.consts)
    return Closed(fn, closed.jaxpr, fixed), values, result


def _over_all_axes(fn: Callable[..., Any], traced: Callable[[frozenset[str]], Any]) -> Any:
    """Returns what is traced where no axis tells arguments from what a cond or a loop closes over."""
    try:
        return traced(frozenset(jax.sharding.get_abstract_mesh().manual_axes))
    except TypeError as error:
        raise TypeError(
            f"{getattr(fn, '__name__', fn)}: the branches of a cond, or the steps of a loop, vary over "
            "different axes of the mesh: write jnp.where for it, let what it closes over vary over all axes "
            "(jax.lax.pcast), or give jax.shard_map check_vma=False"
        ) from error


def _moves(x: Any) -> bool:
    """Returns whether a constant becomes an argument."""
    return isinstance(x, jax.core.Tracer)


def _varying(axes: frozenset[str], args: Any) -> Any:
    leaves, structure = jax.tree.flatten(args)
    return jax.tree.unflatten(structure, varying_over(axes, leaves))


def needed(fn: Callable[..., Any], *example: Any) -> tuple[bool, ...]:
    """For each argument, whether the result of `fn` depends on it: what is left when dead code is cut.

    >>> needed(jax.jit(lambda b, i, j: i > j), *jnp.arange(3))
    (False, True, True)
    """
    jaxpr = jax.make_jaxpr(lambda *args: fn(*args))(*example).jaxpr
    return used_inputs(jaxpr)


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
