"""Operations of a traced function, loops counted as often as they run."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def operations(fn: Callable[..., Any], *arguments: Any) -> int | None:
    """Returns how many multiplications, additions and the like a call takes.

    A matrix product [m, k]·[k, n] counts 2·m·k·n, any other operation its results; a scan counts its body as
    often as it runs, a conditional its dearest branch. None where a loop's end depends on what it computes.

    >>> import jax.numpy as jnp
    >>> matrix = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    >>> operations(lambda x: x @ x, matrix)
    1024
    """
    return _count(jax.make_jaxpr(fn)(*arguments).jaxpr)


def _count(jaxpr: Any) -> int | None:
    total = 0
    for equation in jaxpr.eqns:
        counted = _count_one(equation)
        if counted is None:
            return None
        total += counted
    return total


def _count_one(equation: Any) -> int | None:
    name, params = equation.primitive.name, equation.params
    if name == "while":
        return None
    inner = [x for value in params.values() for x in _jaxprs(value)]
    if not inner or name.startswith(("reduce", "scatter", "sort", "argsort")):
        return _product(equation) if name == "dot_general" else _size(equation.outvars)
    counted = [_count(jaxpr) for jaxpr in inner]
    if None in counted:
        return None
    known = [count for count in counted if count is not None]
    if name == "cond":
        return max(known)
    return sum(known) * (params["length"] if name == "scan" else 1)


def _jaxprs(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [found for item in value for found in _jaxprs(item)]
    found = getattr(value, "jaxpr", value)
    return [found] if hasattr(found, "eqns") else []


def _product(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    return 2 * _size(equation.outvars) * int(np.prod([shape[axis] for axis in contracted]))


def _size(variables: Any) -> int:
    return sum(int(np.prod(variable.aval.shape)) for variable in variables)
