"""`shard_map` of an engine over 2 × 2 CPU devices (batch × heads) against the same on one.

python -m tests.contracts.attention_sharded ENGINE
"""

import sys

import jax
import jax.numpy as jnp

import attnjax as aj
from attnjax.ops.engines import choose
from tests.contracts.attention_cases import SHAPES, close, inputs, normal, small_blocks


def main(engine: str) -> None:
    jax.config.update("jax_num_cpu_devices", 4)
    choose.ENGINES = small_blocks()
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    args, bias = inputs(SHAPES[0]), normal(12, 4, 7, 10)
    p = jax.sharding.PartitionSpec

    def loss(query, key, value, bias):
        out = aj.attention(query, key, value, bias=bias, mask=aj.causal(3), implementation=engine)
        return jnp.sum(jnp.sin(out)).reshape(1, 1)

    spec = p("data", None, "model", None)
    specs = (spec, spec, spec, p("model"))
    sharded = jax.shard_map(loss, mesh=mesh, in_specs=specs, out_specs=p("data", "model"))
    assert sharded(*args, bias).shape == (2, 2)
    got = jax.jit(jax.grad(lambda *a: sharded(*a).sum(), argnums=(0, 1, 2, 3)))(*args, bias)
    expected = jax.grad(lambda *a: loss(*a).sum(), argnums=(0, 1, 2, 3))(*args, bias)
    jax.tree.map(close, got, expected)


if __name__ == "__main__":
    main(sys.argv[1])
