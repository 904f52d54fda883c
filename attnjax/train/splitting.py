"""What rules split of a model's parameters over a mesh, and what they leave whole. Free of devices."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from attnjax.config import InputError, require
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
            if free and logical in (name, ANY) and length % sizes[axis] == 0:
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
        about = [array for array in arrays if array.shape and _lengths(meant, array)]
        what = "any axis" if ANY in meant else " or ".join(meant)
        require(bool(about), f"mesh has {axis}={size}, but no parameter has an axis {what}")
        whole = [a for a in about if axis not in split_axes(rules, sizes, a.axes, a.shape)]
        whole.sort(key=_size, reverse=True)
        if len(whole) == len(about):
            raise InputError(
                f"mesh has {axis}={size}, which divides {what} of no array{_nearest(size, meant, whole)}"
            )
        if whole:
            more = f" and {len(whole) - NAMES_SHOWN} more" if len(whole) > NAMES_SHOWN else ""
            lines.append(
                f"{axis}={size} does not divide {what} of {len(whole)} of {len(about)} arrays, "
                f"which each device holds whole: {', '.join(map(str, whole[:NAMES_SHOWN]))}{more}"
            )
    return lines


def _lengths(meant: list[str], array: Named) -> list[int]:
    """Returns the lengths of the axes of an array that rules for these logical axes mean."""
    pairs = zip(array.axes, array.shape, strict=True)
    return [length for name, length in pairs if ANY in meant or name in meant]


def _size(array: Named) -> int:
    return math.prod(array.shape)


def _nearest(size: int, meant: list[str], arrays: list[Named]) -> str:
    lengths = [length for array in arrays for length in _lengths(meant, array)]
    fitting = max((n for n in range(1, size) if any(length % n == 0 for length in lengths)), default=1)
    largest = arrays[0]
    return f": {largest} has {max(_lengths(meant, largest))}, {fitting} would fit"
