"""The plan of a training on 64 described devices, against XLA's own analysis; its parts by hand."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import attnjax as aj
from attnjax.ops.convolution import convolution
from attnjax.runs.planning.chips import CHIPS, Chip, expected
from attnjax.runs.planning.collectives import Collective, collectives
from attnjax.runs.planning.products import product_flops
from tests.daily import daily

CHIP = Chip(flops=100, memory=10, bandwidth=10, links=1, source="")
# A loop of 5 runs with a reduction over 4 devices in 2 groups, then one over all 8.
PROGRAM = """HloModule jit_step, num_partitions=8
%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %s = f32[] add(%x, %y)
}
%body (p: (s32[], f32[64,64])) -> (s32[], f32[64,64]) {
  %r2 = (f32[64]{0}, bf16[2,4]{1,0}) all-reduce(%a, %b), replica_groups=[2,4]<=[4,2]T(1,0), to_apply=%add
}
ENTRY %main (p: f32[64,64]) -> f32[64,64] {
  %w = (s32[], f32[64,64]) while(%t), body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %g = f32[8]{0} all-gather(%x), replica_groups={{0,1},{2,3},{4,5},{6,7}}, dimensions={0}
  ROOT %r = f32[]{} all-reduce(%x), replica_groups={}, to_apply=%add
}
"""

SIXTY_FOUR_DEVICES = """
import sys
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 64)
from attnjax.config import loss_fields
from attnjax.experiment import overrides, registry
from attnjax.runs.placement import choose_placement, wish_of
from attnjax.runs.planning import plan as planning
from attnjax.train.described import describe_chunk
from attnjax.runs.planning.products import product_flops
from attnjax.train.sharding import ShardingPlan
from attnjax.train.step import make_train_step

registry.discover()
rules, mesh = sys.argv[1:]
sizes = ["--model.dim", "32", "--model.hidden", "64", "--model.layers", "1", "--train.log_every", "2"]
config = overrides.apply(registry.default_config(registry.find("copying")), sizes, program="copying")
task = config.task(None)
placement, _ = choose_placement(wish_of(config, mesh=mesh, rules=rules), config.train.batch_size)
asked = []
planning.product_flops = lambda jaxpr, devices: asked.append(devices) or product_flops(jaxpr, devices)
found = planning.plan_training(task, config, placement)
assert asked == [64], asked  # What shard_map describes for one device is done on all of them.

plan = ShardingPlan(placement.mesh(), config.train, placement.rules)
chunk = describe_chunk(task, config.train, loss_fields(config), plan)
with plan.tracing():
    stats = chunk.program.lower(*chunk.arguments).compile().memory_analysis()
def near(a, b):
    assert abs(a - b) <= 0.1 * b, (rules, a, b)
memory = found.memory
near(memory.state + memory.batches, stats.argument_size_in_bytes)
results = stats.output_size_in_bytes - stats.alias_size_in_bytes
near(memory.peak, stats.argument_size_in_bytes + results + stats.temp_size_in_bytes)
near(memory.state + memory.batches + memory.results + memory.temporary, memory.peak)
assert memory.state == sum(x.parameter + x.optimizer for x in found.arrays)
live = jax.tree.map(lambda x: jax.device_put(np.zeros(x.shape, x.dtype), x.sharding), chunk.state)
held = lambda tree: sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(tree))
assert sum(x.parameter for x in found.arrays) == held(live.params)
assert memory.state == held(live), (memory.state, held(live))
one = {name: jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for name, x in chunk.batches.items()}
step = jax.make_jaxpr(make_train_step(task.loss, config.train))(chunk.state, one, *chunk.arguments[2:])
assert found.flops == product_flops(step) > 0, found.flops
assert found.arrays[-1].optimizer < 100, found.arrays[-1]  # Counters; moments belong to their parameters.
assert found.parameters == sum(np.prod(x.shape, dtype=int) for x in found.arrays[:-1]), found.parameters
moved = sum(x.wire for x in found.collectives)
assert moved > 0 and any(x.kind == "all-reduce" for x in found.collectives), found.collectives
if rules == "replicated":  # The gradients of all parameters are summed once a step, and a few numbers.
    (reduced,) = found.collectives
    near(reduced.size, 4 * found.parameters)
    near(reduced.wire, 2 * 63 / 64 * 4 * found.parameters)
print(rules, found.devices)
"""
MESHES = {
    "replicated": "data=64",
    "fsdp": "data=8,fsdp=8",
    "tensor": "data=32,model=2",
    "fsdp+tensor": "data=4,fsdp=8,model=2",
}


@pytest.mark.parametrize("rules", daily(MESHES, ["replicated", "fsdp+tensor"]))
def test_memory_and_collectives_of_64_devices_are_those_of_xla(rules: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIXTY_FOUR_DEVICES, rules, MESHES[rules]],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{rules} 64\n"


def test_collectives_count_as_often_as_their_loops_run() -> None:
    gathered, reduced = collectives(PROGRAM, steps=2)
    inner = 64 * 4 + 8 * 2
    wire = (5 * 2 * 3 / 4 * inner + 2 * 7 / 8 * 4) / 2
    assert reduced == Collective("all-reduce", 6 / 2, (5 * inner + 4) / 2, wire)
    assert gathered == Collective("all-gather", 0.5, 16, 8)


@pytest.mark.parametrize(
    ("operation", "size", "wire"),
    [
        ("f32[4]{0} reduce-scatter(%x), replica_groups={{0,1,2,3}}, to_apply=%add", 16, 3 / 4 * 64),
        ("f32[16]{0} all-to-all(%x), replica_groups={{0,1,2,3}}", 64, 3 / 4 * 64),
        ("f32[16]{0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}", 64, 64),
    ],
)
def test_a_device_sends_what_its_ring_needs(operation: str, size: float, wire: float) -> None:
    text = (
        f"HloModule step, num_partitions=4\nENTRY %main (p: f32[16]) -> f32[16] {{\n  %r = {operation}\n}}\n"
    )
    (found,) = collectives(text)
    assert (found.count, found.size, found.wire) == (1, size, wire)


def test_what_each_device_computes_counts_for_all_of_them() -> None:
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    x, rows = jnp.ones((2, 3)), jax.P("data")
    shared = jax.shard_map(lambda x: x @ x.T, mesh=mesh, in_specs=rows, out_specs=rows)
    assert product_flops(jax.make_jaxpr(shared)(x), devices=4) == 4 * (2 * 2 * 2 * 3)


def test_products_count_loops_branches_and_what_is_computed_again() -> None:
    x, w = jnp.ones((2, 3)), jnp.ones((3, 3))

    def looped(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda x, _: (x @ w, None), x, length=5)[0]

    def either(x: jax.Array) -> jax.Array:
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ w @ w, lambda x: x @ w, x)

    once = 2 * 2 * 3 * 3
    assert product_flops(jax.make_jaxpr(looped)(x)) == 5 * once
    assert product_flops(jax.make_jaxpr(either)(x)) == 2 * once
    assert product_flops(jax.make_jaxpr(jax.grad(lambda x: jnp.sum(x @ w)))(x)) == 2 * once
    again = jax.grad(jax.checkpoint(lambda x: jnp.sum(jnp.sin(x @ w))))
    assert product_flops(jax.make_jaxpr(again)(x)) == 3 * once
    images, kernel = jnp.ones((1, 4, 4, 3)), jnp.ones((2, 2, 3, 5))
    convolved = jax.make_jaxpr(
        lambda x: jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )
    assert product_flops(convolved(images)) == 2 * (4 * 4 * 5) * (2 * 2 * 3)


def test_gradients_of_our_own_operations_count() -> None:
    """They hold functions where JAX's hold programs."""

    def flops(fn: Any, *args: jax.Array) -> int:
        gradient = jax.grad(lambda *xs: jnp.sum(jnp.sin(fn(*xs))), tuple(range(len(args))))
        return product_flops(jax.make_jaxpr(gradient)(*args))

    images, kernel = jnp.ones((1, 4, 4, 3)), jnp.ones((2, 2, 3, 5))
    forward = 2 * (4 * 4 * 5) * (2 * 2 * 3)
    assert flops(lambda x, k: convolution(x, k, (1, 1), "SAME"), images, kernel) == 3 * forward

    # With the products of the forward pass: q·k and w·v, in which the gradient has two products each.
    x = jnp.ones((1, 32, 2, 8))
    plain = flops(lambda *xs: aj.attention(*xs, implementation="reference"), x, x, x)
    blockwise = flops(lambda *xs: aj.attention(*xs, implementation="blockwise"), x, x, x)
    assert blockwise == plain + plain // 6  # It computes q·k anew.


@pytest.mark.parametrize(
    ("sizes", "seconds", "mfu", "limit"),
    [((200, 1, 0), 2, 1, "products"), ((100, 40, 1), 4, 0.25, "memory"), ((100, 1, 8), 8, 0.125, "links")],
)
def test_a_step_takes_as_long_as_what_takes_longest(
    sizes: tuple[float, ...], seconds: float, mfu: float, limit: str
) -> None:
    flops, traffic, wire = sizes
    found = expected(CHIP, peak=10, flops=flops, traffic=traffic, wire=wire)
    assert found == (True, seconds, mfu, limit)
    assert not expected(CHIP, peak=11, flops=flops, traffic=traffic, wire=wire).fits


def test_every_chip_has_a_source_and_figures_of_its_size() -> None:
    for chip in CHIPS.values():
        assert chip.source.startswith("https://")
        assert 1e14 < chip.flops < 1e16
        assert 1e10 < chip.memory < 1e12
        assert 1e11 < chip.links < chip.bandwidth < 1e13
