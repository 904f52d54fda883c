"""Blocks that are alike as one loop: a program whose size does not grow with their number."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.nn.training import in_training, losses_left

Apply = Callable[[Any, Float[Array, "B T D"], int | Int[Array, ""]], Float[Array, "B T D"]]
"""A function (block, x, i) → x that calls block number i."""


class Period(NamedTuple):
    """The part of a stack that repeats: `times` times the `length` blocks from `start` on."""

    start: int
    length: int
    times: int


def scanned(blocks: Sequence[nnx.Module], x: Float[Array, "B T D"], apply: Apply) -> Float[Array, "B T D"]:
    """Returns what the blocks make of x, one after the other: those that repeat, in one `jax.lax.scan`.

    Blocks are alike if they differ in the values of their parameters alone. A pattern such as kda*3+softmax
    repeats by its period; blocks before the first and after the last whole one stand by themselves. The loop
    reads the parameters stacked, a copy that each call makes: the tree of them stays that of the model. What
    layers in it leave while they are trained (`in_training`) is left all the same, in the order of layers.

    Args:
      blocks: the stack; their states are arrays only.
      x: the input of the first one.
      apply: calls a block, whose number is traced in the loop.

    Raises:
      ValueError: There are several blocks, and nothing repeats.

    Example:
      >>> layers = [nnx.Linear(3, 3, rngs=nnx.Rngs(i)) for i in range(4)]
      >>> x = scanned(layers, jnp.ones((1, 2, 3)), lambda layer, x, i: layer(x) + i)
      >>> x.shape
      (1, 2, 3)
    """
    blocks = list(blocks)
    states = [nnx.split(block) for block in blocks]
    period = repeating([_kind(graph, state) for graph, state in states])
    if period.times < 2 and len(blocks) > 1:
        raise ValueError(
            f"model.scan_layers is True: none of the {len(blocks)} blocks repeats, expected layers, or "
            "periods of them, that differ in their parameters alone"
        )
    if period.times < 2:
        return _one_by_one(blocks, 0, x, apply)
    start, length, times = period
    end = start + length * times
    x = _one_by_one(blocks[:start], 0, x, apply)
    rows = [
        [jax.tree.leaves(state) for _, state in states[at:end:length]] for at in range(start, start + length)
    ]
    stacked = [[jnp.stack(leaves) for leaves in zip(*layers, strict=True)] for layers in rows]
    left = losses_left()

    def one_period(x: Array, inputs: tuple[list[list[Array]], Array]) -> tuple[Array, list[Array]]:
        leaves, first = inputs
        made = [
            nnx.merge(graph, jax.tree.unflatten(jax.tree.structure(state), own))
            for (graph, state), own in zip(states[start : start + length], leaves, strict=True)
        ]
        if left is None:
            return _one_by_one(made, first, x, apply), []
        with in_training() as losses:
            return _one_by_one(made, first, x, apply), losses

    x, losses = jax.lax.scan(one_period, x, (stacked, start + length * jnp.arange(times)))
    if left is not None:
        left.extend(loss[i] for i in range(times) for loss in losses)
    return _one_by_one(blocks[end:], end, x, apply)


def repeating(kinds: Sequence[Any]) -> Period:
    """Returns the part of a sequence that repeats, so chosen that a loop over it saves the most.

    >>> repeating(["dense", "kda", "kda", "softmax", "kda", "kda", "softmax", "kda"])
    Period(start=1, length=3, times=2)
    """
    numbers: list[int] = []
    seen: list[Any] = []
    for kind in kinds:
        if kind not in seen:
            seen.append(kind)
        numbers.append(seen.index(kind))

    def count(start: int, length: int) -> int:
        same = start + length
        while same < len(numbers) and numbers[same] == numbers[same - length]:
            same += 1
        return (same - start) // length

    found = [
        Period(start, length, count(start, length))
        for start in range(len(numbers))
        for length in range(1, (len(numbers) - start) // 2 + 1)
    ]
    best = Period(0, len(numbers), 1)
    return min([best, *found], key=lambda p: len(numbers) - p.length * (p.times - 1))


def _kind(graph: Any, state: Any) -> Any:
    """Returns what blocks that are alike have in common."""
    leaves, structure = jax.tree.flatten(state)
    return graph, structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def _one_by_one(blocks: Sequence[Any], first: int | Array, x: Array, apply: Apply) -> Array:
    for i, block in enumerate(blocks):
        x = apply(block, x, first + i)
    return x
