"""Layers whose parameters have left their starts, as tests of formulas want them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

SCALE, SPREAD = 3.0, 0.3


def moved(layer: nnx.Module, scale: float = SCALE) -> tuple[Any, Any, dict[str, Any]]:
    """The structure of a layer, its parameters times a scale and moved, and these as NumPy arrays by name."""
    graphdef, params = nnx.split(layer, nnx.Param)
    leaves, tree = jax.tree.flatten(params)
    draw = np.random.default_rng(len(leaves))
    leaves = [scale * x + SPREAD * draw.normal(size=x.shape).astype(x.dtype) for x in leaves]
    params = jax.tree.unflatten(tree, leaves)
    return graphdef, params, jax.tree.map(np.asarray, nnx.to_pure_dict(params))


def value(call: Callable[..., Any], *inputs: Any) -> tuple[Any, float, float]:
    """What a call gives, as `value_and_slope` gives it, of which a formula alone is asked."""
    return jax.jit(call)(*inputs), 0.0, 0.0


def value_and_slope(call: Callable[..., Any], *inputs: Any, step: float = 1e-6) -> tuple[Any, float, float]:
    """What a call gives, and the slope of a sum of it along one direction: by jax.grad and by differences.

    The direction moves all inputs of floating point, pytrees among them. In float64, one program.
    """
    leaves, tree = jax.tree.flatten(inputs)
    draw = np.random.default_rng(7)
    floating = [jnp.issubdtype(jnp.asarray(x).dtype, jnp.floating) for x in leaves]
    ahead = [
        draw.normal(size=np.shape(x)) if is_float else 0 for x, is_float in zip(leaves, floating, strict=True)
    ]

    def at(t: Any) -> tuple[Any, Any]:
        moved = [x + t * y if is_float else x for x, y, is_float in zip(leaves, ahead, floating, strict=True)]
        given = call(*jax.tree.unflatten(tree, moved))
        weighed = [jnp.sin(jnp.arange(x.size) + 1.0).reshape(x.shape) * x for x in jax.tree.leaves(given)]
        return sum(x.sum() for x in weighed), given

    both = jax.jit(jax.value_and_grad(at, has_aux=True))
    (_, given), slope = both(0.0)
    rise = both(step)[0][0] - both(-step)[0][0]
    return given, float(slope), float(rise / (2 * step))
