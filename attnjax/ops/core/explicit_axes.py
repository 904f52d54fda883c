"""Meshes with explicit axes, the default of `jax.make_mesh`: what is computed is left to the compiler.

Under explicit axes every reshape, product and vmap has to say how its result is spread. The engines say
nothing of the kind: inside of them the axes are automatic ones, and what comes out is spread as what went in.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def automatic(
    spread: Callable[..., Any],
) -> Callable[[Callable[Arguments, Answer]], Callable[Arguments, Answer]]:
    """Decorates a function of arrays; its results are spread as `spread(*args, **kwargs)` says.

    `spread` gives the mesh axes of each axis (as a PartitionSpec), for the result or for its parts.
    """

    def decorate(fn: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
        @functools.wraps(fn)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
            leaves, structure = jax.tree.flatten((args, kwargs))
            arrays = [x for x in leaves if isinstance(x, jax.Array)]
            mesh = _mesh_with_explicit_axes(arrays)
            if mesh is None:
                return fn(*args, **kwargs)

            def run(arrays: list[Any]) -> Answer:
                given = iter(arrays)
                again = [next(given) if isinstance(x, jax.Array) else x for x in leaves]
                args, kwargs = jax.tree.unflatten(structure, again)
                return fn(*args, **kwargs)

            outputs = jax.tree.map(lambda spec: NamedSharding(mesh, spec), spread(*args, **kwargs))
            return cast(
                Answer, jax.sharding.auto_axes(run, axes=_explicit(mesh), out_sharding=outputs)(arrays)
            )

        return call

    return decorate


def mesh_axes(x: Any) -> tuple[Any, ...]:
    """The mesh axes over which each axis of x is spread explicitly; () for what is no array."""
    return tuple(jax.typeof(x).sharding.spec) if isinstance(x, jax.Array) else ()


def spec(*axes: Any) -> PartitionSpec:
    """The PartitionSpec, in which only the first axis that is spread over a mesh axis stays so."""
    seen: set[Any] = set()
    kept = []
    for names in axes:
        new = set(names if isinstance(names, tuple) else (names,)) - {None}
        kept.append(None if new & seen else names)
        seen |= new
    return PartitionSpec(*kept)


def has_explicit_axes(*arrays: Any) -> bool:
    """Returns whether one of the arrays, or all that is computed here, lies on a mesh with explicit axes."""
    return _mesh_with_explicit_axes([x for x in arrays if isinstance(x, jax.Array)]) is not None


def _mesh_with_explicit_axes(arrays: list[Any]) -> Any:
    meshes = [jax.sharding.get_abstract_mesh(), *(jax.typeof(x).sharding.mesh for x in arrays)]
    return next((mesh for mesh in meshes if _explicit(mesh)), None)


def _explicit(mesh: Any) -> tuple[str, ...]:
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True) if not mesh.empty else ()
    return tuple(name for name, kind in kinds if kind == AxisType.Explicit)
