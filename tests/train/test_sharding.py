"""Data parallelism over two CPU devices: in a process of its own, since jax counts its devices once."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

from attnjax.config import InputError
from attnjax.train.config import TrainConfig
from attnjax.train.sharding import ShardingPlan

pytestmark = pytest.mark.versions

TWO_DEVICES = """
import sys
from pathlib import Path
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
from attnjax.config import InputError
from attnjax.train.config import TrainConfig
from attnjax.train.hashing import params_hash
from attnjax.train.loop import fit
from attnjax.train.sharding import ShardingPlan, place_part
from attnjax.train.adapter_config import AdapterConfig
from attnjax.train.state import init_state, initial_state
from tests.train.toy import DIM, ToyTask

folder, task = Path(sys.argv[1]), ToyTask()
config = TrainConfig(steps=6, batch_size=8, accumulate=2, log_every=2, warmup_steps=2, learning_rate=0.01)
def train(name, mesh):
    return fit(task, config, seed=0, folder=folder / name, mesh=mesh, observers=()).params
mesh = jax.make_mesh((2,), ("data",))
one, two, again = train("one", None), train("two", mesh), train("again", mesh)
assert params_hash(two) == params_hash(again)
resumed = train("two", None)  # a checkpoint of two devices on one
assert params_hash(two) == params_hash(resumed)
assert all(len(x.devices()) == 1 for x in jax.tree.leaves(two))
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, two)
class Named(ToyTask):
    def logical_axes(self):
        hidden = {"kernel": ("embed", "mlp"), "bias": ("mlp",)}
        return {"embed": ("vocab", "embed"), "hidden": hidden, "out": ("mlp", "vocab")}
mesh = jax.make_mesh((1, 2), ("data", "model"))
rules = {"mlp": "model", "vocab": "model"}  # 11 tokens do not divide: not split
split = fit(Named(), config, seed=0, folder=folder / "split", mesh=mesh, rules=rules, observers=()).params
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, split)
plan = ShardingPlan(mesh, config, rules)
state = jax.eval_shape(lambda: init_state(task.init(jax.random.key(0)), config))
specs = plan.state(state, state.params, Named().logical_axes())
spec = jax.sharding.PartitionSpec
assert specs.params["hidden"]["kernel"].spec == spec(None, "model"), specs.params
assert specs.params["embed"].spec == spec(None, None), specs.params
part = place_part({"hidden": {"kernel": np.ones((DIM, DIM), np.float32)}}, specs.params)  # Of a file.
assert part["hidden"]["kernel"].sharding == specs.params["hidden"]["kernel"]
tuned = TrainConfig(batch_size=8, adapter=AdapterConfig("dora", ("hidden.kernel",), rank=2))
state = jax.eval_shape(lambda: initial_state(task, tuned, jax.random.key(0)))
kernel = plan.state(state, state.params, Named().logical_axes()).params["hidden"]["kernel"]
assert kernel.base.spec == kernel.up.spec == spec(None, "model"), kernel
assert (kernel.down.spec, kernel.magnitude.spec) == (spec(None, None), spec("model")), kernel
moments = {str(x.spec) for x in jax.tree.leaves(specs.opt_state)}
assert str(spec(None, "model")) in moments and str(spec("model")) in moments, moments
mesh = jax.make_mesh((2,), ("data",))
try:
    fit(task, TrainConfig(batch_size=8, accumulate=8), seed=0, folder=folder / "odd", mesh=mesh)
except InputError as error:
    print(error)
"""


def test_two_devices_train_as_one_and_the_same_each_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWO_DEVICES, str(tmp_path)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout
        == "train.batch_size / train.accumulate is 1: data=2 of the mesh must divide it; data=1 fits\n"
    )


def test_a_mesh_without_the_axis_data_is_refused() -> None:
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("model",))
    with pytest.raises(InputError, match="it must have 'data'"):
        ShardingPlan(mesh, TrainConfig())


def test_a_rule_for_an_axis_that_the_mesh_lacks_is_refused() -> None:
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("data",))
    with pytest.raises(InputError, match="rules split mlp over 'model': mesh has the axes"):
        ShardingPlan(mesh, TrainConfig(), {"mlp": "model"})
