"""The parameters that rules split over a mesh, and those that they leave whole. Free of devices."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from attnjax.config import InputError, require
from attnjax.nn.layer_names import LAYERS
from attnjax.train.adapters import Adapted, axes_of, is_adapted
from attnjax.train.mesh import ANY, Rules
from attnjax.train.patterns import name_of

Axes = tuple[str | None, ...]
NAMES_SHOWN = 3
"""Arrays that a line names, the largest ones."""


class Named(NamedTuple):
    """A parameter, the names of its axes and their lengths."""

    name: str
    axes: Axes
    shape: tuple[int, ...]

    def __str__(self) -> str:
        """Returns it with its sizes."""
        return f"{self.name} {list(self.shape)}"


def named_arrays(params: Any, axes: Any) -> list[Named]:
    """Returns each array of parameters, those of adapters too, by itself.

    Args:
      params: the parameters, or their shapes.
      axes: a tree like params, without adapters, of tuples of names; None where nobody names them.

    Example:
      >>> named_arrays({"up": jax.ShapeDtypeStruct((4, 8), "float32")}, {"up": ("embed", "mlp")})
      [Named(name='up', axes=('embed', 'mlp'), shape=(4, 8))]
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if axes is None:
        return [Named(name_of(path), (None,) * len(leaf.shape), leaf.shape) for path, leaf in leaves]
    plain = jax.tree.leaves(axes, is_leaf=lambda node: isinstance(node, tuple))
    kernels = jax.tree.leaves(params, is_leaf=is_adapted)
    names = [
        own
        for kernel, named in zip(kernels, plain, strict=True)
        for own in (axes_of(kernel, named) if isinstance(kernel, Adapted) else [named])
    ]
    return [Named(name_of(path), own, leaf.shape) for (path, leaf), own in zip(leaves, names, strict=True)]


def split_axes(rules: Rules, sizes: Mapping[str, int], axes: Axes, shape: tuple[int, ...]) -> Axes:
    """Returns the mesh axis that splits each axis of an array; None for one that stays whole.

    Args:
      rules: taken in their order.
      sizes: the number of devices along each axis of the mesh.
      axes: the names of the array's axes.
      shape: their lengths; an axis is split only if the devices divide it.

    Example:
      >>> rules = {"mlp": "model", "embed": "fsdp", "*": "fsdp"}
      >>> split_axes(rules, {"fsdp": 2, "model": 2}, ("embed", "mlp"), (4, 8))
      ('fsdp', 'model')
      >>> split_axes(rules, {"fsdp": 2, "model": 2}, ("embed", "mlp"), (3, 8))
      (None, 'model')
      >>> split_axes(rules, {"fsdp": 2}, ("embed", "mlp"), (3, 8))
      (None, 'fsdp')
    """
    split: list[str | None] = [None] * len(shape)
    for logical, axis in rules.items():
        for place, (name, length) in enumerate(zip(axes, shape, strict=True)):
            free = axis not in split and split[place] is None and sizes.get(axis, 1) > 1
            if free and _named(logical, name) and length % sizes[axis] == 0:
                split[place] = axis
    return tuple(split)


def left_whole(rules: Rules, sizes: Mapping[str, int], arrays: list[Named]) -> list[str]:
    """Returns a line for each axis of a mesh along which arrays that the rules mean stay whole.

    Raises:
      InputError: no array at all is split along an axis, with an array and the nearest number of devices.

    Example:
      >>> arrays = [Named("up", ("embed", "mlp"), (4, 8)), Named("bias", ("mlp",), (3,))]
      >>> left_whole({"mlp": "model"}, {"model": 2}, arrays)
      ['model=2 does not divide mlp of 1 of 2 arrays, which each device holds whole: bias [3]']
    """
    lines = []
    for axis in dict.fromkeys(rules.values()):
        size = sizes.get(axis, 1)
        if size == 1:
            continue
        meant = [logical for logical, own in rules.items() if own == axis]
        about = [array for array in arrays if _meant(meant, array, (None,) * len(array.shape))]
        require(bool(about), f"mesh has {axis}={size}, but no parameter has an axis {' or '.join(meant)}")
        splits = {array: split_axes(rules, sizes, array.axes, array.shape) for array in about}
        whole = [array for array in about if axis not in splits[array]]
        whole.sort(key=lambda array: math.prod(array.shape), reverse=True)
        if len(whole) == len(about):
            raise InputError(f"mesh has {axis}={size}, which divides {_nearest(size, meant, whole)}")
        # One whose axis another rule has split is not meant.
        whole = [array for array in whole if _meant(meant, array, splits[array])]
        if whole:
            more = f" and {len(whole) - NAMES_SHOWN} more" if len(whole) > NAMES_SHOWN else ""
            lines.append(
                f"{axis}={size} does not divide {_what(meant, whole)} of {len(whole)} of {len(about)} "
                f"arrays, which each device holds whole: {', '.join(map(str, whole[:NAMES_SHOWN]))}{more}"
            )
    return lines


def _meant(meant: list[str], array: Named, split: Axes) -> list[tuple[str | None, int]]:
    """Returns name and length of the axes of an array that rules mean by these names, and that are whole."""
    triples = zip(array.axes, array.shape, split, strict=True)
    return [
        (name, n)
        for name, n, axis in triples
        if axis is None and any(_named(logical, name) for logical in meant)
    ]


def _named(logical: str, name: str | None) -> bool:
    """Returns True if a rule for a logical axis is one for an axis of this name.

    "*" is not for stacked layers: a loop that reads them one by one would ask another device for each.
    """
    return logical == name or (logical == ANY and name != LAYERS)


def _what(meant: list[str], arrays: list[Named]) -> str:
    """Returns the names of axes that these arrays have of those that are meant."""
    if ANY in meant:
        return "any axis"
    return " or ".join(name for name in meant if any(name in array.axes for array in arrays))


def _nearest(size: int, meant: list[str], arrays: list[Named]) -> str:
    """Returns what is not divided, with the largest array, and the largest number that divides anything."""
    found = {array: [n for _, n in _meant(meant, array, (None,) * len(array.shape))] for array in arrays}
    lengths = {n for own in found.values() for n in own}
    fits = max((n for n in range(1, size) if any(length % n == 0 for length in lengths)), default=1)
    largest = arrays[0]
    return f"{_what(meant, arrays)} of no array: {largest} has {max(found[largest])}, {fits} would fit"
