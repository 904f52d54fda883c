"""Meshes of eight devices, in processes of their own, since jax counts its devices once."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import attnjax.nn.blocks
from attnjax.models import LanguageModel, LanguageModelConfig
from attnjax.nn.placed import placed
from tests.daily import daily
from tests.train.families import FAMILIES, MESHES

ROOT = Path(__file__).parents[2]
SAID = """\
model=2 does not divide vocab of 1 of 4 arrays, which each device holds whole: embed [11, 16]
mesh has model=3, which divides mlp or vocab of no array: hidden.kernel [16, 16] has 16, 2 would fit
mesh model=2 has an axis model, over which no rule splits: such rules are tensor
train.batch_size / train.accumulate is 8: fsdp=3 of the mesh must divide it; fsdp=2 fits
"""

ROWS_OF_A_TABLE = """
import jax, jax.numpy as jnp
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_enable_compilation_cache", False)  # What is found there warns of nothing.
from flax import nnx
from attnjax.models import TableConfig, TableTransformer
from attnjax.nn import logical_axes
from attnjax.runs.devices import make_mesh
from attnjax.train.config import TrainConfig
from attnjax.train.mesh import PRESETS, MeshShape
from attnjax.train.sharding import ShardingPlan
config = TableConfig(dim=16, heads=4, hidden=24, layers=1)
model = TableTransformer(config, (0, 3, 2), rngs=nnx.Rngs(0))
graph, params = nnx.split(model, nnx.Param)
params = nnx.to_pure_dict(params)
mesh = make_mesh(MeshShape(data=2, fsdp=2, model=2))
plan = ShardingPlan(mesh, TrainConfig(batch_size=16), PRESETS["fsdp+tensor"])
lie = plan.state(params, params, logical_axes(model))
def slope(params, rows):
    return jax.grad(lambda params: jnp.sum(jnp.sin(nnx.merge(graph, params)(rows).logits)))(params)
like = jax.tree.map(lambda x, own: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=own), params, lie)
split = jax.sharding.NamedSharding(plan.mesh, jax.P(("data", "fsdp")))
rows = jax.ShapeDtypeStruct((16, 3), jnp.float32, sharding=split)
with plan.tracing():
    jax.jit(slope, out_shardings=lie).lower(like, rows).compile()
"""


def run(module: str, *arguments: str) -> str:
    """What a module prints as a program; it has to end well."""
    command = [sys.executable, "-m", f"tests.train.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("family", "preset"),
    daily(
        [
            (family, preset)
            for family in FAMILIES
            for preset in MESHES
            if preset != "context" or family in ("language model", "hybrid", "encoder-decoder")
        ],
        [("language model", "fsdp+tensor")],
    ),
)
def test_logits_gradients_and_a_step_are_those_of_one_device(family: str, preset: str) -> None:
    """With dropout, micro-batches and an average of the parameters."""
    said = run("families", family, "--", preset)
    assert said.endswith(" good\n"), said


@pytest.mark.slow
def test_states_lie_in_parts_have_the_same_bits_and_move_between_meshes(tmp_path: Path) -> None:
    assert run("on_meshes", str(tmp_path)) == SAID


def test_an_initial_state_is_made_in_parts_and_what_is_left_whole_is_said(tmp_path: Path) -> None:
    """A run that goes on on another mesh is in `test_sharding`."""
    made = "an_initial_state_has_the_same_bits_and_is_made_in_parts"
    assert run("on_meshes", str(tmp_path), made, "what_is_left_whole_is_said") == SAID


def test_without_a_mesh_the_program_is_that_of_blocks_that_know_none(monkeypatch: pytest.MonkeyPatch) -> None:
    config = LanguageModelConfig(dim=8, heads=2, layers=2)
    graph, params = nnx.split(LanguageModel(config, vocab=11, rngs=nnx.Rngs(0)))
    tokens = jnp.zeros((2, 4), jnp.int32)

    def program() -> str:
        slope = jax.grad(lambda params: jnp.sum(nnx.merge(graph, params)(tokens).logits))
        return str(jax.make_jaxpr(slope)(params))

    own = program()
    assert "sharding_constraint" not in own
    with jax.set_mesh(jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))):
        assert "sharding_constraint" not in program()
    monkeypatch.setattr(attnjax.nn.blocks, "placed", lambda x: x)
    assert program() == own


def test_what_has_no_axis_of_a_batch_is_placed_nowhere() -> None:
    x = jnp.ones((3, 4))
    assert placed(x) is x


def test_no_device_holds_the_tokens_of_all_rows_of_a_table() -> None:
    command = [sys.executable, "-c", ROWS_OF_A_TABLE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "full rematerialization" not in done.stderr, done.stderr
