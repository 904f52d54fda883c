"""The plan of a training: what its arrays, its step and its collectives take of each device."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax

from attnjax.config import loss_fields
from attnjax.runs.placement import Placement
from attnjax.runs.planning.chips import CHIPS, Expected, expected
from attnjax.runs.planning.collectives import Collective, collectives
from attnjax.runs.planning.products import product_flops
from attnjax.tasks.errors import TaskError, said_of
from attnjax.tasks.rehearsal import rehearse
from attnjax.train.described import DescribedChunk, describe_chunk
from attnjax.train.mesh import write_rules
from attnjax.train.patterns import name_of
from attnjax.train.sharding import ShardingPlan
from attnjax.train.state import count_parameters

if TYPE_CHECKING:
    from attnjax.tasks.base import Task

REST = "(others)"
"""The name of what the optimiser keeps for no parameter in particular."""


@dataclass(frozen=True)
class ArrayPlan:
    """A parameter, with what the optimiser and a moving average keep for it.

    Attributes:
      name: of the parameter.
      shape: of the whole.
      dtype: of the parameter.
      split: the mesh axis over which each axis is split; None: over none.
      parameter: bytes of it on a device.
      optimizer: bytes of all else that belongs to it on a device.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    split: tuple[str | None, ...]
    parameter: int
    optimizer: int


@dataclass(frozen=True)
class MemoryPlan:
    """The bytes of a device.

    Attributes:
      state: parameters and what the optimiser keeps: the sum over the arrays.
      batches: of the steps of a dispatch.
      temporary: what XLA needs meanwhile, at its peak.
      results: what is given back in memory of its own.
      peak: all that is held at once, by XLA's analysis of the program.
    """

    state: int
    batches: int
    temporary: int
    results: int
    peak: int


@dataclass(frozen=True)
class StepPlan:
    """The needs of a training on each device, for one step where nothing else is said.

    Attributes:
      devices, mesh, rules: how many there are, and the mesh and the rules in words.
      steps: that one dispatch runs, for which the memory is.
      parameters: entries of all parameters.
      arrays: the parameters one by one, and last what belongs to none.
      memory: of a device.
      flops: of the products of a step, on all devices together.
      traffic: bytes that a device reads and writes at least: the state, a batch and what is temporary, once.
      collectives: by kind.
      expected: the best that a step can do on chips of a kind, by their name.
      whole: a line for each axis of the mesh along which arrays stay whole that the rules mean to split.
    """

    devices: int
    mesh: str
    rules: str
    steps: int
    parameters: int
    arrays: tuple[ArrayPlan, ...]
    memory: MemoryPlan
    flops: float
    traffic: float
    collectives: tuple[Collective, ...]
    expected: dict[str, Expected]
    whole: tuple[str, ...]


def plan_training(task: "Task", config: Any, placement: Placement) -> StepPlan:
    """Returns the plan of a training. Its program is compiled; nothing is computed, and no array is made.

    Args:
      task: of the config.
      config: of the experiment.
      placement: the rules, and the mesh of devices that jax has: `jax_num_cpu_devices` describes any number.

    Raises:
      InputError: the task is not what training needs, or nothing is split along an axis of the mesh.
    """
    hyper = loss_fields(config)
    try:
        rehearse(task, hyper)
    except TaskError as error:
        raise said_of(error) from None
    plan = ShardingPlan(placement.mesh(), config.train, placement.rules)
    chunk = describe_chunk(task, config.train, hyper, plan)
    with plan.tracing():
        program = chunk.program.trace(*chunk.arguments)
    compiled = program.lower().compile()
    devices = placement.shape.devices
    arrays = tuple(_arrays(chunk.state))
    memory = _memory(chunk, arrays, compiled.memory_analysis())
    found = collectives(compiled.as_text(), chunk.steps)
    flops = product_flops(program.jaxpr, devices) / chunk.steps
    traffic = 2 * memory.state + memory.batches / chunk.steps + 2 * memory.temporary
    wire = sum(one.wire for one in found)
    sizes = {"peak": memory.peak, "flops": flops / devices, "traffic": traffic, "wire": wire}
    return StepPlan(
        devices=devices,
        mesh=str(placement.shape),
        rules=write_rules(placement.rules),
        steps=chunk.steps,
        parameters=count_parameters(chunk.state.params),
        arrays=arrays,
        memory=memory,
        flops=flops,
        traffic=traffic,
        collectives=tuple(found),
        expected={name: expected(chip, **sizes) for name, chip in CHIPS.items()},
        whole=tuple(chunk.whole),
    )


def bytes_on_a_device(tree: Any) -> int:
    """Returns the bytes of arrays of these shapes and shardings that one device holds."""
    return sum(_bytes(leaf) for leaf in jax.tree.leaves(tree))


def _arrays(state: Any) -> Iterable[ArrayPlan]:
    """Finds for each array of the optimiser the parameter whose path its own ends in."""
    named = [(name_of(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)]
    kept = {name: 0 for name, _ in named} | {REST: 0}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state._replace(params=None)):
        parts = name_of(path).split(".")
        ends = (".".join(parts[start:]) for start in range(len(parts)))
        kept[next((end for end in ends if end in kept), REST)] += _bytes(leaf)
    for name, leaf in named:
        split = tuple(getattr(leaf.sharding, "spec", ()))
        split += (None,) * (leaf.ndim - len(split))
        yield ArrayPlan(name, leaf.shape, str(leaf.dtype), split, _bytes(leaf), kept[name])
    yield ArrayPlan(REST, (), "", (), 0, kept[REST])


def _memory(chunk: DescribedChunk, arrays: Iterable[ArrayPlan], stats: Any) -> MemoryPlan:
    results = stats.output_size_in_bytes - stats.alias_size_in_bytes
    return MemoryPlan(
        state=sum(array.parameter + array.optimizer for array in arrays),
        batches=bytes_on_a_device(chunk.batches),
        temporary=stats.temp_size_in_bytes,
        results=results,
        peak=stats.argument_size_in_bytes + results + stats.temp_size_in_bytes,
    )


def _bytes(leaf: Any) -> int:
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * int(leaf.dtype.itemsize)
