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
    {"swiglu": "silu", "geglu": "gelu", "geglu_exact": "gelu_exact", "reglu": "relu"}
)
"""The activation of the gate of each gated one."""
