"""Layers of mechanisms on two devices that share a sequence, beside one device, in a process of its own.

`python -m tests.nn.attention.on_context MECHANISM…` compares outputs and gradients, and prints of each
layer whether its tokens stay in shards.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import attnjax as aj
from attnjax.nn import Attention


def main(mechanisms: list[str]) -> None:
    jax.config.update("jax_num_cpu_devices", 2)
    jax.config.update("jax_enable_x64", True)
    mesh = jax.make_mesh((2,), ("context",), axis_types=(jax.sharding.AxisType.Auto,))
    x = jax.random.normal(jax.random.key(0), (2, 8, 16), jnp.float64)
    for mechanism in mechanisms:
        double = {"dtype": jnp.float64, "param_dtype": jnp.float64}
        graph, params = nnx.split(Attention(16, 2, mechanism=mechanism, **double, rngs=nnx.Rngs(0)))

        def loss(params, x, graph=graph):
            return (nnx.merge(graph, params)(x, mask=aj.causal()).out ** 2).sum()

        whole = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(params, x)
        with jax.set_mesh(mesh):
            split = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(params, x)
            program = str(jax.make_jaxpr(loss)(params, x))
        pairs = zip(jax.tree.leaves(whole), jax.tree.leaves(split), strict=True)
        worst = max(float(np.abs(a - b).max() / max(1.0, np.abs(a).max())) for a, b in pairs)
        assert worst < 1e-11, (mechanism, worst)
        print(mechanism, "shards" if "shard_map" in program else "whole")


if __name__ == "__main__":
    main(sys.argv[1:])
