"""Blocks whose parameters lie stacked, as one loop: a program whose size does not grow with their number."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.config import InputError
from attnjax.nn.stacked import Group, StackedBlocks
from attnjax.nn.training import in_training, losses_left

Apply = Callable[[Any, Float[Array, "B T D"], int | Int[Array, ""]], Float[Array, "B T D"]]
"""A function (block, x, i) → x that calls block number i."""


def stack_of(blocks: Sequence[nnx.Module], scan: bool) -> Any:
    """Returns blocks as a model holds them: with stacked parameters if they are to be a loop, else a list.

    Raises:
      InputError: There is to be a loop, there are several blocks, and nothing repeats.
    """
    if not scan:
        return nnx.List(list(blocks))
    stack = StackedBlocks(blocks)
    if len(blocks) > 1 and len(stack.groups) == len(blocks):
        raise InputError(
            f"model.scan_layers is True: none of the {len(blocks)} blocks repeats, expected layers, or "
            "periods of them, that differ in their parameters alone"
        )
    return stack


def scanned(
    blocks: StackedBlocks, x: Float[Array, "B T D"], apply: Apply, repeats: int = 1
) -> Float[Array, "B T D"]:
    """Returns what the blocks make of x, one after the other: those that repeat, in one `jax.lax.scan`.

    The loop reads the stacked parameters as they lie. What layers in it leave while they are trained
    (`in_training`) is left summed over its rounds.

    Args:
      blocks: the stack.
      x: the input of the first one.
      apply: calls a block, whose number is traced in the loop.
      repeats: how often in turn each block is applied; every time counts as a number.

    Example:
      >>> layers = StackedBlocks([nnx.Linear(3, 3, rngs=nnx.Rngs(i)) for i in range(4)])
      >>> x = scanned(layers, jnp.ones((1, 2, 3)), lambda layer, x, i: layer(x) + i)
      >>> x.shape
      (1, 2, 3)
    """

    def often(block: Any, x: Array, number: Any) -> Array:
        if repeats == 1:
            return apply(block, x, number)
        return _loop(lambda x, i: apply(block, x, i), x, number * repeats + jnp.arange(repeats))

    def period(x: Array, inputs: tuple[list[nnx.State], Array]) -> Array:
        for place, (group, state) in enumerate(zip(repeated, inputs[0], strict=True)):
            x = often(group.block(state), x, inputs[1] + place)
        return x

    def alone(x: Array, groups: list[Group]) -> Array:
        for group in groups:
            x = often(group.at(0), x, group.layers.start)
        return x

    groups = blocks.groups
    repeated = [group for group in groups if len(group.layers) > 1]
    single = [group for group in groups if len(group.layers) == 1]
    if not repeated:
        return alone(x, single)
    first = repeated[0].layers
    x = alone(x, [group for group in single if group.layers.start < first.start])
    numbers = first.start + first.step * jnp.arange(len(first))
    x = _loop(period, x, ([group.state for group in repeated], numbers))
    return alone(x, [group for group in single if group.layers.start > first.start])


def _loop(step: Callable[[Array, Any], Array], x: Array, inputs: Any) -> Array:
    """Returns x after a step for each of the inputs, in which layers are trained as outside of it."""
    left = losses_left()

    def body(x: Array, own: Any) -> tuple[Array, list[Array]]:
        if left is None:
            return step(x, own), []
        with in_training() as losses:
            return step(x, own), losses

    x, losses = jax.lax.scan(body, x, inputs)
    if left is not None:
        left.extend(jnp.sum(loss) for loss in losses)
    return x
