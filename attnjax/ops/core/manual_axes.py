"""Values inside a `shard_map` that checks over which of its axes each of them varies."""

from collections.abc import Sequence
from typing import Any

import jax


def axes_of(*arrays: Any) -> frozenset[str]:
    """The axes over which some of these vary; none where nothing is checked."""
    types = [getattr(jax.typeof(x), "manual_axis_type", None) for x in arrays]
    return frozenset().union(*(getattr(t, "varying", ()) for t in types))


def varying_over(axes: frozenset[str], arrays: Sequence[Any]) -> list[Any]:
    """The arrays as varying over these axes too."""
    missing = [tuple(sorted(axes - axes_of(x))) for x in arrays]
    return [jax.lax.pcast(x, m, to="varying") if m else x for x, m in zip(arrays, missing, strict=True)]


def evaluate(jaxpr: Any, constants: Sequence[Any], *args: Any) -> list[Any]:
    """As `jax.core.eval_jaxpr`, for values that may vary over other axes than those it was traced with.

    Operations demand operands that vary alike. Inside a `cond`, a loop or a custom derivative they are left
    as they were traced: those have to vary as they did.
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
        else:
            options = equation.primitive.get_bind_params(equation.params)
            found = equation.primitive.bind(*varying_over(axes_of(*inputs), inputs), **options)
            outputs = found if equation.primitive.multiple_results else [found]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]
