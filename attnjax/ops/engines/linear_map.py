"""A linear map with a transpose of one's own, which JAX can differentiate forward, backward and again.

`jax.custom_vjp` forbids forward mode and `jax.custom_derivatives.linear_call` knows neither vmap nor a
derivative to what the map depends on. This primitive has all of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.core.primitives import is_undefined, is_zero, make_primitive, with_zeros

# fn(residuals, vectors, transposable): linear in the vectors; where `transposable`, out of operations that
# JAX can transpose (slower ones, perhaps), because a derivative of it is being taken.
Map = Callable[[list[Array], list[Array], bool], list[Array]]


def linear_map(forward: Map, transpose: Map, residuals: Sequence[Array], vectors: Sequence[Array]) -> Any:
    """forward(residuals, vectors), whose transpose in the vectors is `transpose(residuals, ·)`.

    Neither function may close over arrays of an outer trace.
    """
    return linear_map_p.bind(*residuals, *vectors, forward=forward, transpose=transpose, count=len(residuals))


def _run(*args: Array, forward: Map, transpose: Map, count: int) -> list[Array]:
    return forward(list(args[:count]), list(args[count:]), False)


def _jvp(primals: Any, tangents: Any, *, forward: Map, transpose: Map, count: int) -> Any:
    params = {"forward": forward, "transpose": transpose, "count": count}
    tangents_out = []
    if not all(is_zero(t) for t in tangents[count:]):
        vectors = with_zeros(tangents[count:])
        tangents_out.append(linear_map_p.bind(*primals[:count], *vectors, **params))
    moved = [i for i, t in enumerate(tangents[:count]) if not is_zero(t)]
    if moved:

        def of_moved(*values: Array) -> list[Array]:
            residuals = list(primals[:count])
            for i, value in zip(moved, values, strict=True):
                residuals[i] = value
            return forward(residuals, list(primals[count:]), True)

        tangents_out.append(jax.jvp(of_moved, [primals[i] for i in moved], [tangents[i] for i in moved])[1])
    return linear_map_p.bind(*primals, **params), [sum(parts) for parts in zip(*tangents_out, strict=True)]


def _transpose(cotangents: Any, *args: Any, forward: Map, transpose: Map, count: int) -> list[Any]:
    vectors = with_zeros(cotangents)
    out = linear_map_p.bind(*args[:count], *vectors, forward=transpose, transpose=forward, count=count)
    wanted = [is_undefined(x) for x in args[count:]]
    return [None] * count + [ct if w else None for ct, w in zip(out, wanted, strict=True)]


def _batch(args: Any, axes: Any, *, forward: Map, transpose: Map, count: int) -> Any:
    size = next(x.shape[a] for x, a in zip(args, axes, strict=True) if a is not None)
    residual_axes = list(axes[:count])
    # Every vector gets the axis: a vector that all share would have to get the sum of its cotangents.
    vectors = [
        jnp.broadcast_to(x, (size, *x.shape)) if a is None else jnp.moveaxis(x, a, 0)
        for x, a in zip(args[count:], axes[count:], strict=True)
    ]

    def mapped(fn: Map) -> Map:
        def run(residuals: list[Array], vectors: list[Array], transposable: bool) -> list[Array]:
            return jax.vmap(lambda r, v: fn(r, v, transposable), in_axes=(residual_axes, 0))(
                residuals, vectors
            )

        return run

    out = linear_map_p.bind(
        *args[:count], *vectors, forward=mapped(forward), transpose=mapped(transpose), count=count
    )
    return out, [0] * len(out)


def _abstract(*avals: Any, **params: Any) -> Any:
    return [v.aval for v in jax.make_jaxpr(lambda *xs: _run(*xs, **params))(*avals).jaxpr.outvars]


linear_map_p = make_primitive(
    "linear_map", abstract=_abstract, batch=_batch, run=_run, jvp=_jvp, transpose=_transpose
)
