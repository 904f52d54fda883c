"""Values inside a `shard_map` that checks over which of its axes each of them varies."""

from collections.abc import Sequence
from typing import Any

import jax

from attnjax.ops.core.primitives import jaxprs_in_params


def bound_axis(axis: str) -> int | None:
    """Returns the size of a mesh axis over which a `shard_map` runs here; None where none does."""
    try:
        return int(jax.lax.axis_size(axis))
    except NameError:
        return None


def axes_of(*arrays: Any) -> frozenset[str]:
    """The axes over which some of these vary; none where nothing is checked."""
    return frozenset().union(*(_axes(jax.typeof(x)) for x in arrays))


def _axes(type_: Any) -> frozenset[str]:
    return frozenset(getattr(getattr(type_, "manual_axis_type", None), "varying", ()))


def varying_over(axes: frozenset[str], arrays: Sequence[Any]) -> list[Any]:
    """The arrays as varying over these axes too."""
    missing = [tuple(sorted(axes - axes_of(x))) for x in arrays]
    return [jax.lax.pcast(x, m, to="varying") if m else x for x, m in zip(arrays, missing, strict=True)]


def evaluate(jaxpr: Any, constants: Sequence[Any], *args: Any) -> list[Any]:
    """As `jax.core.eval_jaxpr`, for values that may vary over other axes than those it was traced with.

    Operations demand operands that vary alike. Inside a loop or a custom derivative they are left as they
    were traced: those have to vary as they did.
    """
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *args], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        inputs, name = [read(atom) for atom in equation.invars], equation.primitive.name
        if name == "pvary":
            outputs = varying_over(frozenset(equation.params["axes"]), inputs)
        elif name == "jit":
            inner = equation.params["jaxpr"]
            outputs = evaluate(inner.jaxpr, inner.consts, *inputs)
        elif name == "cond":
            outputs = _branch(equation.params["branches"], *inputs)
        else:
            options = equation.primitive.get_bind_params(equation.params)
            if any(jaxprs_in_params(equation.params)):
                types = zip(equation.invars, inputs, strict=True)
                inputs = [varying_over(_axes(atom.aval), [x])[0] for atom, x in types]
            else:
                inputs = varying_over(axes_of(*inputs), inputs)
            found = equation.primitive.bind(*inputs, **options)
            outputs = found if equation.primitive.multiple_results else [found]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _branch(branches: Sequence[Any], index: Any, *operands: Any) -> list[Any]:
    """Returns the results of one of the branches; whichever it is, they vary over the same axes."""
    axes = axes_of(index, *operands)

    def of(branch: Any) -> Any:
        return lambda *xs: varying_over(axes, evaluate(branch.jaxpr, branch.consts, *xs))

    return jax.lax.switch(index, [of(branch) for branch in branches], *varying_over(axes, operands))
