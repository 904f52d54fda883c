"""The only file that touches JAX's semi-private modules: primitives of one's own, and programs as data.

`jax.extend`, `jax.interpreters` and `jax.core` may change in any release. What the other files need of them
has a name here.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.core import eval_jaxpr
from jax.extend.core import Primitive, jaxprs_in_params
from jax.interpreters import ad, batching, mlir, partial_eval

__all__ = [
    "Primitive",
    "devices_of",
    "eval_jaxpr",
    "is_undefined",
    "is_zero",
    "jaxprs_in_params",
    "lower_function",
    "make_primitive",
    "used_inputs",
    "with_device",
    "with_zeros",
]


def make_primitive(
    name: str,
    *,
    abstract: Callable[..., Any],
    batch: Callable[..., Any],
    run: Callable[..., Any] | None = None,
    jvp: Callable[..., Any] | None = None,
    transpose: Callable[..., Any] | None = None,
    lower: dict[str | None, Callable[..., Any]] | None = None,
) -> Primitive:
    """Returns a primitive with several results.

    Args:
      name: shown in programs.
      abstract: the shapes and dtypes of the results, from those of the operands.
      batch: results and their axes, from operands and theirs.
      run: the results from the operands, which also lowers it; None with `lower`.
      jvp: results and tangents, from operands and theirs; None = it has no derivative.
      transpose: cotangents of the operands from those of the results; None = it is not linear.
      lower: what a platform's program holds; under None, that of any other platform.
    """
    primitive = Primitive(name)
    primitive.multiple_results = True
    body = run or primitive.bind
    primitive.def_impl(lambda *args, **params: jax.jit(lambda *xs: body(*xs, **params))(*args))
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batch
    if jvp:
        ad.primitive_jvps[primitive] = jvp
    if transpose:
        ad.primitive_transposes[primitive] = transpose
    for platform, rule in (lower or {None: mlir.lower_fun(body, multiple_results=True)}).items():
        mlir.register_lowering(primitive, rule, platform=platform)
    return primitive


def is_zero(tangent: Any) -> bool:
    """Returns whether a tangent is symbolically zero."""
    return type(tangent) is ad.Zero


def with_zeros(tangents: Sequence[Any]) -> list[Any]:
    """Returns the tangents with arrays of zeros for symbolic ones."""
    return [ad.instantiate_zeros(t) for t in tangents]


def is_undefined(operand: Any) -> bool:
    """Returns whether an operand of a transposed primitive is one that its cotangent is asked for."""
    return ad.is_undefined_primal(operand)


def used_inputs(jaxpr: Any) -> tuple[bool, ...]:
    """Returns for each input of a program whether its results depend on it."""
    _, used = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return tuple(used)


def lower_function(fn: Callable[..., Any], context: Any, *args: Any) -> Any:
    """Returns what a function with several results is in the program that is lowered in this context."""
    return mlir.lower_fun(fn, multiple_results=True)(context, *args)


def devices_of(context: Any) -> int:
    """Returns over how many devices XLA spreads the program; 1 inside of a `shard_map` over all mesh axes."""
    axes = context.module_context.axis_context
    if mesh := getattr(axes, "mesh", None):
        manual = set(getattr(axes, "manual_axes", ())) | set(getattr(mesh, "manual_axes", ()))
        return 1 if manual == set(mesh.axis_names) else mesh.size
    return getattr(axes, "num_devices", 1) or 1


def with_device(context: Any) -> Any:
    """Returns the context of a program for one device, with the device.

    JAX gives it only where it sees a primitive that asks for it, and cannot look into a body that is lowered
    by `lower_function`: cuDNN's attention, which custom partitioning wraps, is not lowered without.
    """
    module = context.module_context
    if getattr(module.axis_context, "num_devices", None) != 1:
        return context
    axes = dataclasses.replace(module.axis_context, device_assignment=(jax.local_devices()[0],))
    return context.replace(module_context=module.replace(axis_context=axes))
