"""The layers of these tests, and their programs."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax import nn
from attnjax.mechanisms import read
from attnjax.ops import masks

DIM, T = 8, 6
# Beside the mechanism.
SETTINGS: dict[str, dict[str, Any]] = {
    "mla": {"head_dim": 3, "value_dim": 2, "rope": "halves"},
    "differential": {"heads": 4, "kv_heads": 2, "head_dim": 2, "rope": "halves"},
    "selective": {"heads": 4, "kv_heads": 2, "rope": "halves"},
    "path": {"heads": 4, "kv_heads": 2},
    "multi_token": {"heads": 4, "kv_heads": 2, "rope": "halves"},
    "deltaformer": {"heads": 4, "kv_heads": 2, "rope": "halves"},
    "tensor_product": {"rope": "halves"},
    "hstu": {"heads": 4, "kv_heads": 2, "rope": "halves"},
    "mixture_of_depths": {"rope": "halves"},
    "mixture_of_attention": {"heads": 3, "head_dim": 4, "rope": "halves"},
}


class Compiled(NamedTuple):
    """A layer with every parameter off its initial value, and its programs."""

    module: Any
    whole: Callable[[jax.Array], jax.Array]
    step: Callable[[jax.Array, Any, Any], Any]


def make(text: str, **asked: Any) -> Any:
    choice = read(text)[0]
    settings = {"heads": 2, **SETTINGS.get(choice.row.name, {}), **asked}
    return nn.make_attention(choice, DIM, param_dtype=jnp.float64, rngs=nnx.Rngs(0), **settings)


@functools.cache
def compiled(text: str) -> Compiled:
    module = make(text)
    graphdef, params = nnx.split(module, nnx.Param)  # raises if any other state is left over
    leaves, tree = jax.tree.flatten(params)
    moved = jax.tree.unflatten(tree, [x + 0.5 * normal(*x.shape, seed=i) for i, x in enumerate(leaves)])
    nnx.update(module, moved)

    def call(x: jax.Array, mask: Any, cache: Any = None) -> Any:
        return nnx.merge(graphdef, moved)(x, mask=mask, cache=cache)[:2]

    return Compiled(module, jax.jit(lambda x: call(x, masks.causal())[0]), jax.jit(call))


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def tokens() -> jax.Array:
    return 3 * normal(2, T, DIM, seed=9)


def near(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)
