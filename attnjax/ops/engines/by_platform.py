"""A function with other bodies on some platforms, chosen when a program is lowered.

`jax.lax.platform_dependent` traces every branch beforehand, and a derivative of it saves what each of them
needs. This primitive traces only the body of the platform that a program is lowered for, and leaves nothing
of the others in it; a program exported for several platforms holds one body for each of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jaxtyping import Array

from attnjax.ops.core.primitives import devices_of, lower_function, make_primitive, with_device

Body = Callable[[list[Array]], list[Array]]


class Route(NamedTuple):
    """A body for some platforms, which XLA cannot spread over devices by itself."""

    platforms: tuple[str, ...]
    body: Body


def by_platform(
    default: Body, routes: Sequence[Route], like: Body, args: Sequence[Array], asked: str | None = None
) -> Any:
    """The arrays `default(args)`, or what the first route for the platform makes of them.

    `like(args)`: arrays of the same shapes, dtypes and axes, for less. `asked`: the name under which the
    routes were asked for; lowering for another platform then raises ValueError. No body may close over
    arrays of an outer trace. It has no derivative: give it one by `jax.custom_jvp` and `linear_map`.
    Where XLA spreads the program over devices, outside of `shard_map`, `default` is taken, or what was asked
    for refused.
    """
    return by_platform_p.bind(*args, default=default, routes=tuple(routes), like=like, asked=asked)


def _abstract(*avals: Any, like: Body, **_: Any) -> Any:
    return [v.aval for v in jax.make_jaxpr(lambda *xs: like(list(xs)))(*avals).jaxpr.outvars]


def _batch(args: Any, axes: Any, *, default: Body, routes: Any, like: Body, asked: str | None) -> Any:
    def mapped(body: Body) -> Body:
        return lambda xs: jax.vmap(lambda *ys: body(list(ys)), in_axes=tuple(axes))(*xs)

    routes = tuple(r._replace(body=mapped(r.body)) for r in routes)
    out = by_platform(mapped(default), routes, mapped(like), args, asked)
    return out, [0] * len(out)


def _lowering(platform: str | None) -> Any:
    def lower(
        ctx: Any, *args: Any, default: Body, routes: Sequence[Route], like: Body, asked: str | None
    ) -> Any:
        body = None if asked else default
        devices = devices_of(ctx)
        for route in reversed(routes):
            if platform in route.platforms and (asked or devices == 1):
                body = route.body
        if body is None:
            needed = " or ".join(p for r in routes for p in r.platforms)
            lowered = platform or ", ".join(ctx.module_context.platforms)
            raise ValueError(
                f"implementation is {asked!r}, which runs on {needed}: this program is lowered for {lowered}"
            )
        if asked and devices > 1:
            raise ValueError(
                f"implementation is {asked!r}, which XLA cannot spread over the {devices} devices of this "
                f"program: put the call into a jax.shard_map over all axes of the mesh"
            )
        return lower_function(lambda *xs: body(list(xs)), with_device(ctx), *args)

    return lower


_PLATFORMS = (None, "cpu", "cuda", "rocm", "tpu")  # None: any other
by_platform_p = make_primitive(
    "by_platform", abstract=_abstract, batch=_batch, lower={name: _lowering(name) for name in _PLATFORMS}
)
