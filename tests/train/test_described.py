"""The step of a training is lowered for TPU and CUDA with every preset, on devices that are described."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.daily import daily

EIGHT_DEVICES = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 8)
from attnjax.config import loss_fields
from attnjax.experiment import overrides, registry
from attnjax.runs.placement import choose_placement, wish_of
from attnjax.train.described import describe_chunk
from attnjax.train.sharding import ShardingPlan

registry.discover()
presets, name, *changes = sys.argv[1:]
config = overrides.apply(registry.default_config(registry.find(name)), changes, program=name)
task = config.task(None)
meshes = {
    "replicated": "data=8",
    "fsdp": "data=2,fsdp=4",
    "tensor": "data=4,model=2",
    "fsdp+tensor": "fsdp=4,model=2",
}
for rules in presets.split(","):
    mesh = meshes[rules]
    placement, _ = choose_placement(wish_of(config, mesh=mesh, rules=rules), config.train.batch_size)
    plan = ShardingPlan(placement.mesh(), config.train, placement.rules)
    chunk = describe_chunk(task, config.train, loss_fields(config), plan)
    assert chunk.steps == config.train.log_every and chunk.whole == plan.left_whole(
        chunk.state.params, task.logical_axes() if plan.splits else None
    )
    with plan.tracing():
        exported = jax.export.export(chunk.program, platforms=("tpu", "cuda"))(*chunk.arguments)
    assert exported.nr_devices == 8, exported.nr_devices
    split = sum(x.sharding.shard_shape(x.shape) != x.shape for x in jax.tree.leaves(chunk.state))
    assert (split > 0) is (rules != "replicated"), split
    print(rules, *exported.platforms)
"""
SMALL = {
    "copying": ["--model.dim", "16", "--model.hidden", "32", "--model.layers", "1"],
    "translation": ["--model.dim", "16", "--model.hidden", "32", "--data.examples", "2000"],
}


PRESETS = ("replicated", "fsdp", "tensor", "fsdp+tensor")
CASES = [("copying", ("replicated", "fsdp+tensor")), *((name, PRESETS) for name in SMALL)]


@pytest.mark.parametrize(("name", "presets"), daily(CASES, CASES[:1]))
def test_the_step_is_lowered_for_other_platforms(name: str, presets: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EIGHT_DEVICES, ",".join(presets), name, *SMALL[name]],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{rules} tpu cuda" for rules in presets]
