"""The FLOPs of matrix products and convolutions of a traced program."""

import math
from collections.abc import Iterator
from typing import Any

import jax


def product_flops(jaxpr: Any, devices: int = 1) -> int:
    """Returns the FLOPs of all products that a program computes, on all devices together.

    A loop counts as often as it runs where that is known (`scan`), else once; of branches the dearest counts.
    What a program computes again for gradients counts again; elementwise operations do not count.

    Args:
      jaxpr: of the program, as `jax.jit(f).trace(…).jaxpr` gives it.
      devices: that share what `shard_map` describes for one of them.

    Example:
      >>> import jax.numpy as jnp
      >>> product_flops(jax.make_jaxpr(jnp.dot)(jnp.ones((2, 3)), jnp.ones((3, 4))))
      48
    """
    return sum(_of(equation, devices) for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns)


def _of(equation: Any, devices: int) -> int:
    name, params = equation.primitive.name, equation.params
    operands = [variable.aval for variable in equation.invars]
    results = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
    match name:
        case "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            return 2 * results * math.prod(operands[0].shape[axis] for axis in contracted)
        case "ragged_dot" | "ragged_dot_general":
            return 2 * results * operands[0].shape[-1]
        case "conv_general_dilated":
            kernel = operands[1].shape
            return 2 * results * math.prod(kernel) // kernel[params["dimension_numbers"].rhs_spec[0]]
        case "cond":
            return max(product_flops(branch, devices) for branch in params["branches"])
        case "scan":
            return params["length"] * product_flops(params["jaxpr"], devices)
        case "linear_map":
            return _of_function(params["forward"], params["count"], operands, devices)
        case "by_platform":
            return _of_function(params["default"], None, operands, devices)
        case "shard_map":
            return devices * product_flops(params["jaxpr"], devices)
        case _:
            return sum(product_flops(inner, devices) for inner in _inner(params))


def _of_function(body: Any, residuals: int | None, operands: list[Any], devices: int) -> int:
    """The FLOPs of an operation of ours, which holds a function instead of a program."""

    def run(*arrays: Any) -> Any:
        given = list(arrays)
        return body(given) if residuals is None else body(given[:residuals], given[residuals:], False)

    return product_flops(jax.make_jaxpr(run)(*operands), devices)


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """The programs that an operation calls."""
    for value in params.values():
        if hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns"):
            yield value
