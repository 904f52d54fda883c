"""States on meshes of eight devices: their bytes, their bits, and checkpoints that move from one to another.

`python -m tests.train.on_meshes FOLDER` ends with 0 if all of it holds; names of checks choose some.
"""

import dataclasses
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax.config import InputError
from attnjax.models import LanguageModel, LanguageModelConfig
from attnjax.runs.devices import make_mesh
from attnjax.train.beginning import restore_or_init
from attnjax.train.checkpoint import Checkpoints
from attnjax.train.config import TrainConfig
from attnjax.train.hashing import params_hash
from attnjax.train.loop import fit, load_params
from attnjax.train.mesh import PRESETS, MeshShape, Rules
from attnjax.train.sharding import ShardingPlan
from tests.train.toy import ToyTask

WIDE, VOCAB = 256, 128
CONFIG = TrainConfig(batch_size=8, ema_decay=0.9)
NAMES = {
    "table": ("vocab", "embed"),
    "up": {"kernel": ("embed", "mlp"), "bias": ("mlp",)},
    "scale": ("embed",),
}


class WideTask(ToyTask):
    """A toy whose arrays count; it computes nothing."""

    def init(self, key: Any) -> Any:
        table, up = jax.random.split(key)
        return {
            "table": jax.random.normal(table, (VOCAB, WIDE)),
            "up": {"kernel": jax.random.normal(up, (WIDE, WIDE)), "bias": jnp.zeros(WIDE)},
            "scale": jnp.ones(WIDE),
        }

    def logical_axes(self) -> Any:
        return NAMES


class NamedToy(ToyTask):
    """A toy that trains, and names its axes."""

    def logical_axes(self) -> Any:
        hidden = {"kernel": ("embed", "mlp"), "bias": ("mlp",)}
        return {"embed": ("vocab", "embed"), "hidden": hidden, "out": ("mlp", "vocab")}


def plan_of(rules: str, **sizes: int) -> ShardingPlan:
    return ShardingPlan(make_mesh(MeshShape(**sizes)), CONFIG, PRESETS[rules])


def moved(state: Any) -> Any:
    """A state in which no two arrays are alike, as moments and averages are before the first step."""
    leaves, tree = jax.tree.flatten(state)
    return jax.tree.unflatten(tree, [x + jnp.asarray(i, x.dtype) for i, x in enumerate(leaves, 1)])


def begun(folder: Path, plan: ShardingPlan, config: TrainConfig = CONFIG) -> Any:
    """The state that a new training begins with."""
    with Checkpoints(folder, keep=1, mode="max") as checkpoints, ThreadPoolExecutor(1) as thread:
        return restore_or_init(WideTask(), config, 0, plan, checkpoints, thread)[2].result()


def bytes_of(state: Any) -> tuple[int, int]:
    """The bytes of a state in all, and the most that a device holds of it, from its buffers."""
    held: dict[Any, int] = {}
    for array in jax.tree.leaves(state):
        for shard in array.addressable_shards:
            held[shard.device] = held.get(shard.device, 0) + shard.data.nbytes
    return sum(x.nbytes for x in jax.tree.leaves(state)), max(held.values())


def same_bits(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)


def bytes_of_each_optimizer(folder: Path) -> None:
    for optimizer in ("adamw", "lion", "muon", "adafactor", "sgd"):
        config = dataclasses.replace(CONFIG, optimizer=optimizer)
        state = begun(folder / optimizer, plan_of("fsdp", fsdp=8), config)
        assert not [x.shape for x in jax.tree.leaves(state) if x.size >= VOCAB and x.is_fully_replicated]
        whole, most = bytes_of(state)
        assert most <= whole / 8 * 1.05, (optimizer, whole, most)
        whole, most = bytes_of(begun(folder / optimizer, plan_of("fsdp+tensor", fsdp=4, model=2), config))
        assert most <= whole / 4 * 1.05, (optimizer, whole, most)  # The bias and the scale lie on one axis.


def an_initial_state_has_the_same_bits_and_is_made_in_parts(folder: Path) -> None:
    alone, split = (
        begun(folder / "alone", ShardingPlan(None, CONFIG)),
        begun(folder / "split", plan_of("fsdp", fsdp=8)),
    )
    assert same_bits(alone, split)
    held, most = bytes_of(split)
    assert most <= held / 8 * 1.05, (held, most)  # With what the optimiser keeps.
    like = jax.eval_shape(lambda key: WideTask().init(key), jax.random.key(0))
    shardings = plan_of("fsdp", fsdp=8).state(like, like, NAMES)
    memory = (
        jax.jit(WideTask().init, out_shardings=shardings).lower(jax.random.key(0)).compile().memory_analysis()
    )
    whole = 4 * sum(x.size for x in jax.tree.leaves(like))
    assert memory.temp_size_in_bytes + memory.output_size_in_bytes < whole / 2, (memory, whole)


def blocks_say_where_activations_lie(_: Path) -> None:
    graph, params = nnx.split(
        LanguageModel(LanguageModelConfig(dim=8, heads=2, layers=2), vocab=11, rngs=nnx.Rngs(0))
    )
    tokens = jnp.zeros((8, 4), jnp.int32)

    def program(plan: ShardingPlan) -> str:
        with plan.tracing():
            return str(jax.make_jaxpr(lambda params: nnx.merge(graph, params)(tokens).logits)(params))

    said = program(plan_of("fsdp+tensor", data=2, fsdp=2, context=2, model=1))
    assert said.count("spec=P(('data', 'fsdp'), 'context', None)") == 4, said  # At both ends of each block.
    assert "sharding_constraint" not in program(plan_of("replicated", data=8))


def a_checkpoint_moves_to_any_other_mesh(folder: Path) -> None:
    plans = [
        ShardingPlan(None, CONFIG),
        plan_of("replicated", data=8),
        plan_of("fsdp", data=2, fsdp=4),
        plan_of("tensor", model=2, context=2),
        plan_of("fsdp+tensor", data=2, fsdp=2, model=2),
    ]
    states = [moved(begun(folder / str(i), plan)) for i, plan in enumerate(plans)]
    for i, state in enumerate(states):
        with Checkpoints(folder / f"from {i}", keep=1, mode="max") as checkpoints:
            checkpoints.save(3, state)
            checkpoints.wait()
            for other in states:
                step, back = checkpoints.restore(other) or (0, None)
                assert step == 3
                assert same_bits(state, back)
                lie = jax.tree.map(lambda a, b: a.sharding.is_equivalent_to(b.sharding, a.ndim), back, other)
                assert all(jax.tree.leaves(lie))


def a_run_goes_on_on_another_mesh(folder: Path) -> None:
    config = TrainConfig(steps=4, batch_size=8, log_every=2, warmup_steps=1, checkpoint_every=2)

    def train(mesh: MeshShape, rules: Rules, steps: int = 4) -> Any:
        own = dataclasses.replace(config, steps=steps)
        return fit(
            NamedToy(), own, seed=0, folder=folder / "run", mesh=make_mesh(mesh), rules=rules, observers=()
        )

    half = train(MeshShape(data=2, fsdp=2, model=2), PRESETS["fsdp+tensor"], 2)
    assert not half.params["hidden"]["kernel"].is_fully_replicated
    moved = train(MeshShape(fsdp=4), PRESETS["fsdp"], 2)
    assert moved.resumed_from == 2
    assert params_hash(moved.params) == params_hash(half.params)
    assert moved.params["hidden"]["kernel"].addressable_shards[0].data.shape == (4, 16)
    read = load_params(
        NamedToy(), config, folder=folder / "run", mesh=make_mesh(MeshShape(fsdp=8)), rules=PRESETS["fsdp"]
    )
    assert params_hash(read) == params_hash(half.params)
    assert read["hidden"]["kernel"].addressable_shards[0].data.shape == (2, 16)
    assert train(MeshShape(data=8), {}).step == 4


def what_is_left_whole_is_said(folder: Path) -> None:
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("attnjax").addHandler(handler)
    fit(
        NamedToy(),
        TrainConfig(steps=1, batch_size=8, warmup_steps=0),
        seed=0,
        folder=folder,
        mesh=make_mesh(MeshShape(model=2)),
        rules=PRESETS["tensor"],
        observers=(),
    )
    logging.getLogger("attnjax").removeHandler(handler)
    print(*said, sep="\n")
    for rules, sizes in (("tensor", {"model": 3}), ("replicated", {"model": 2}), ("fsdp", {"fsdp": 3})):
        plan = None
        try:
            plan = plan_of(rules, **sizes)
            plan.left_whole(*two(NamedToy()))
        except InputError as error:
            print(error)


def two(task: Any) -> tuple[Any, Any]:
    return jax.eval_shape(task.init, jax.random.key(0)), task.logical_axes()


CHECKS = {
    check.__name__: check
    for check in (
        bytes_of_each_optimizer,
        an_initial_state_has_the_same_bits_and_is_made_in_parts,
        blocks_say_where_activations_lie,
        a_checkpoint_moves_to_any_other_mesh,
        a_run_goes_on_on_another_mesh,
        what_is_left_whole_is_said,
    )
}


def main(folder: Path, names: list[str]) -> None:
    """Runs those checks, or all of them."""
    jax.config.update("jax_num_cpu_devices", 8)
    for name in names or CHECKS:
        CHECKS[name](folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
