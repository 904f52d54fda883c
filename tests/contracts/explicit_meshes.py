"""Run by itself: on meshes with explicit axes, of one and of two devices, everything is as without a mesh.

python -m tests.contracts.explicit_meshes [every]: without the word what differs most, on two devices alone.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

import attnjax as aj
from attnjax import nn
from attnjax.models import LanguageModel, LanguageModelConfig

jax.config.update("jax_num_cpu_devices", 2)
BATCH, HEADS = PartitionSpec("data"), PartitionSpec(None, None, "data")
MASK = aj.causal() & aj.lengths(key=jnp.array([5, 3]))


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def holds(mesh: Any, spec: PartitionSpec, fn: Callable[..., Any], *args: np.ndarray) -> None:
    """fn and its gradient in the first argument, if it has one, of arguments that are spread."""

    def both(*args: Any) -> Any:
        floating = jnp.issubdtype(args[0].dtype, jnp.floating)
        return fn(*args), jax.grad(lambda *args: jnp.sin(fn(*args)).sum())(*args) if floating else ()

    spread = [jax.device_put(x, NamedSharding(mesh, spec)) for x in args]
    with jax.set_mesh(mesh):
        got = jax.jit(both)(*spread)
    assert tuple(jax.typeof(got[0]).sharding.spec)[: len(spec)] == tuple(spec), fn
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-5), got, jax.jit(both)(*args))


def attend(query: Any, key: Any, value: Any, **options: Any) -> Any:
    return aj.attention(query, key, value, mask=MASK, **options)


def language_model(tokens: Any) -> Any:
    config = LanguageModelConfig(
        dim=8,
        heads=2,
        layers=1,
        max_length=8,
        mechanism="gated_delta_net",
        positions="learned",
        convolution=2,
    )
    return LanguageModel(config, vocab=5, rngs=nnx.Rngs(0))(tokens).logits


def run(devices: int, *, every: bool) -> None:
    mesh = jax.make_mesh((devices,), ("data",))
    assert mesh.axis_types == (jax.sharding.AxisType.Explicit,)
    heads = normal(2, 5, 4, 8), normal(2, 5, 2, 8), normal(2, 5, 2, 8)
    if devices == 1:
        holds(mesh, HEADS, attend, *heads)
        holds(mesh, BATCH, aj.linear_attention, *heads)
        return
    holds(mesh, HEADS, partial(attend, implementation="blockwise"), *heads)
    layer = nn.Attention(16, 4, rope="halves", qk_norm=True, rngs=nnx.Rngs(0))
    holds(mesh, BATCH, lambda x: layer(x, mask=MASK).out, normal(2, 5, 16))
    tokens = np.arange(10).reshape(2, 5) % 5
    with jax.set_mesh(mesh):
        jax.eval_shape(language_model, jax.device_put(tokens, NamedSharding(mesh, BATCH)))
    # Eagerly, and where no mesh is set: the arrays say what they lie on.
    spread = [jax.device_put(x, NamedSharding(mesh, HEADS)) for x in heads]
    np.testing.assert_allclose(attend(*spread), attend(*heads), atol=2e-5)
    if every:
        holds(mesh, BATCH, language_model, tokens)
        holds(mesh, HEADS, attend, *heads)
        holds(mesh, BATCH, partial(attend, implementation="blockwise"), *heads)
        for spec in (BATCH, HEADS):
            holds(mesh, spec, aj.linear_attention, *heads)
        weights = lambda q, k: aj.attention_weights(q, k, mask=MASK)[..., None].swapaxes(1, 2)  # noqa: E731
        holds(mesh, HEADS, weights, *heads[:2])


if __name__ == "__main__":
    every = sys.argv[1:] == ["every"]
    for devices in (1, 2) if every else (2,):
        run(devices, every=every)
    print("as without a mesh")
