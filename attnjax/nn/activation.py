"""Activations by name, and the gated ones by that of their gate."""

from collections.abc import Callable
from functools import partial
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Function = Callable[[Float[Array, "..."]], Float[Array, "..."]]


def quick_gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns x·σ(1.702·x), which CLIP has in place of GELU."""
    return x * jax.nn.sigmoid(1.702 * x)


ACTIVATIONS: MappingProxyType[str, Function] = MappingProxyType(
    {
        "gelu": partial(jax.nn.gelu, approximate=True),
        "gelu_exact": partial(jax.nn.gelu, approximate=False),
        "quick_gelu": quick_gelu,
        "relu": jax.nn.relu,
        "silu": jax.nn.silu,
        "tanh": jnp.tanh,
    }
)
"""Functions of every entry by itself."""
GATED: MappingProxyType[str, str] = MappingProxyType(
    {
        "swiglu": "silu",
        "geglu": "gelu",
        "geglu_exact": "gelu_exact",
        "reglu": "relu",
        "swiglu_clipped": "quick_gelu",
    }
)
"""The activation of the gate of each gated one."""
CLIPPED = 7.0
"""The bound of what swiglu_clipped takes in."""


def gated(name: str, gate: Float[Array, "*B F"], up: Float[Array, "*B F"]) -> Float[Array, "*B F"]:
    """Returns the product of an activated gate and what it gates.

    "swiglu_clipped" is that of gpt-oss: g·σ(1.702·g)·(u + 1), g cut at 7 from above, u on both sides.

    Example:
      >>> gated("reglu", jnp.array([1.0, 2.0]), jnp.array([3.0, 3.0])).tolist()
      [3.0, 6.0]
    """
    if name == "swiglu_clipped":
        gate, up = jnp.minimum(gate, CLIPPED), jnp.clip(up, -CLIPPED, CLIPPED) + 1
    return ACTIVATIONS[GATED[name]](gate) * up
