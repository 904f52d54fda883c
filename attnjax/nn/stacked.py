"""Blocks whose parameters lie stacked: of those that are alike, one array for each parameter."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from attnjax.nn.axes import AXES, named
from attnjax.nn.layer_names import LAYERS, key_of, layers_in

Model = TypeVar("Model", bound=nnx.Module)


class Period(NamedTuple):
    """The part of a stack that repeats: `times` times the `length` blocks from `start` on."""

    start: int
    length: int
    times: int


class Group(NamedTuple):
    """Blocks that are alike.

    Attributes:
      layers: their places in the stack.
      graph: the structure of one.
      state: its parameters, each with a first axis of layers.
    """

    layers: range
    graph: nnx.GraphDef[Any]
    state: nnx.State

    def block(self, state: nnx.State) -> Any:
        """Returns a block with the parameters of one layer, which have lost the first axis."""
        return nnx.merge(self.graph, jax.tree.map(_of_one, state, is_leaf=_is_param))

    def at(self, place: int) -> Any:
        """Returns the block at a place of the group."""
        return self.block(jax.tree.map(lambda x: x[place], self.state))


class StackedBlocks(nnx.Module):
    """A sequence of blocks, of which those that are alike keep each parameter in one array.

    Blocks are alike if they differ in the values of their parameters alone. A pattern such as kda*3+softmax
    repeats by its period, of which each block is the first of a group; blocks before the first and after the
    last whole period are groups of one. Parameters of a group have a first axis "layers" and a name that
    tells them ("0:4.norm.scale", see `layer_names`). To read it is to read a list: a block that it gives has
    slices of the arrays. What is set on such a block is not kept.

    Args:
      blocks: in their order; their states are arrays only. The parameters are theirs, bit for bit.

    Example:
      >>> layers = StackedBlocks([nnx.Linear(3, 3, rngs=nnx.Rngs(i)) for i in range(4)])
      >>> len(layers), layers[-1].kernel.shape, nnx.state(layers)["0:4"]["kernel"].shape
      (4, (3, 3), (4, 3, 3))
    """

    def __init__(self, blocks: Sequence[nnx.Module]) -> None:
        splits = [nnx.split(block) for block in blocks]
        period = repeating([_kind(graph, state) for graph, state in splits])
        for layers in _ranges(len(splits), period):
            states = [splits[i][1] for i in layers]
            state = jax.tree.map(_joined, *states, is_leaf=_is_param)
            setattr(self, key_of(layers), nnx.merge(splits[layers[0]][0], state))

    @property
    def groups(self) -> list[Group]:
        """The groups, by their first block."""
        return [Group(layers, *nnx.split(block)) for layers, block in self._members]

    def __len__(self) -> int:
        """Returns the number of blocks."""
        return sum(len(layers) for layers, _ in self._members)

    def __getitem__(self, number: int) -> Any:
        """Returns block 0, 1, …, or -1, -2, … from the end.

        Raises:
          IndexError: There are fewer.
        """
        place = range(len(self))[number]
        layers, block = next(member for member in self._members if place in member[0])
        return Group(layers, *nnx.split(block)).at(layers.index(place))

    def __iter__(self) -> Iterator[Any]:
        """Yields the blocks in their order."""
        return (self[number] for number in range(len(self)))

    def summed(self, function: Callable[[Any], Float[Array, ""] | float]) -> Float[Array, ""]:
        """Returns the sum over all blocks of a function of one, which is traced once for each group."""
        parts = [
            jax.vmap(lambda state, block=group.block: function(block(state)))(group.state)
            for group in self.groups
        ]
        return jnp.sum(jnp.concatenate(parts))

    @property
    def _members(self) -> list[tuple[range, nnx.Module]]:
        """The layers of each group, and a block that holds their parameters."""
        found = [(layers, block) for key, block in vars(self).items() if (layers := layers_in(key))]
        return sorted(found, key=lambda member: member[0].start)


def unstacked(model: Model) -> Model:
    """Returns a copy of a model in which blocks are lists again, with arrays of their own.

    Example:
      >>> model = nnx.Dict(blocks=StackedBlocks([nnx.Linear(3, 3, rngs=nnx.Rngs(i)) for i in range(2)]))
      >>> [block.kernel.shape for block in unstacked(model)["blocks"]]
      [(3, 3), (3, 3)]
    """
    copy = nnx.merge(*nnx.split(model))
    for _, module in list(nnx.iter_modules(copy)):
        for name, child in list(vars(module).items()):
            if isinstance(child, StackedBlocks):
                setattr(module, name, nnx.List(list(child)))
    return copy


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


def _ranges(count: int, period: Period) -> list[range]:
    """Returns the layers of each group of so many blocks."""
    start, length, times = period
    if times < 2:
        return [range(i, i + 1) for i in range(count)]
    end = start + length * times
    alone = [range(i, i + 1) for i in range(count) if not start <= i < end]
    return alone + [range(i, i + length * (times - 1) + 1, length) for i in range(start, start + length)]


def _joined(*params: nnx.Variable[Any]) -> nnx.Variable[Any]:
    axes = params[0].get_metadata(AXES, None)
    value = jnp.stack([param.get_value() for param in params])
    return params[0].replace(value, **({} if axes is None else named(LAYERS, *axes)))


def _of_one(param: nnx.Variable[Any]) -> nnx.Variable[Any]:
    axes = param.get_metadata(AXES, None)
    return param.replace(param.get_value(), **({} if axes is None else named(*axes[1:])))


def _is_param(node: Any) -> bool:
    return isinstance(node, nnx.Variable)
