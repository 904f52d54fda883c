"""Tables from the names of tensors on disk to parameters, which read and write by the same entries.

An entry says which part of a tensor on disk a parameter is. That part is a *view* of the tensor: a transpose,
a reshape, a slice. Loading copies from the view into the parameter, saving copies the parameter into the same
view of an empty tensor, so there is no second direction to write down, or to get wrong.
"""

import itertools
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from flax import nnx

from attnjax.config import InputError

View = Callable[[np.ndarray], np.ndarray]
"""From a tensor to a part of it, laid out anew, without a copy."""
Params = Mapping[str, nnx.Variable[Any]]
"""Parameters by dotted path, such as "blocks.0.attention.query.kernel"."""


@dataclass(frozen=True)
class Entry:
    """A row of a table: a parameter, or a part of one, is a view of a tensor on disk.

    Attributes:
      disk: the name of the tensor.
      ours: the dotted path of the parameter.
      view: from the tensor to the part of it that is meant, laid out as PyTorch does: (out, in) of a kernel,
        whose axes may be split already; None: all of it.
      shape: of the tensor, where there is a view.
      at: the place along the first axis of the parameter that it fills; None: it fills all.
      heads: axes of the view in the place of the parameter's heads, where groups of these lie apart.

    Example:
      >>> Entry("fc.weight", "blocks.0.feed_forward.up.kernel").at is None
      True
    """

    disk: str
    ours: str
    view: View | None = None
    shape: tuple[int, ...] | None = None
    at: int | None = None
    heads: tuple[int, ...] | None = None

    def numbered(self, **numbers: int) -> "Entry":
        """Returns the entry with numbers in the place of {name} in both names."""
        disk, ours = (text.format(**numbers) for text in (self.disk, self.ours))
        return replace(self, disk=disk, ours=ours)


def of_experts(entries: Iterable[Entry], count: int) -> list[Entry]:
    """Returns the entries of expert 0, 1, … for each {e}, which fill the places of a stack.

    Example:
      >>> [(entry.disk, entry.at) for entry in of_experts([Entry("w{e}", "up.kernel")], 2)]
      [('w0', 0), ('w1', 1)]
    """
    return [
        replace(entry, disk=entry.disk.replace("{e}", str(e)), at=e)
        for e in range(count)
        for entry in entries
    ]


def repeated(entries: Iterable[Entry], count: int) -> list[Entry]:
    """Returns the entries of layer 0, 1, … for each {i}.

    Example:
      >>> [entry.disk for entry in repeated([Entry("h.{i}.w", "blocks.{i}.w")], 2)]
      ['h.0.w', 'h.1.w']
    """
    return [entry.numbered(i=i) for i in range(count) for entry in entries]


def rows(disk: str, sizes: Mapping[str, int], inputs: int) -> list[Entry]:
    """Returns the entries of kernels that are one matrix (out, in) on disk, one below the other.

    Args:
      disk: the name of the matrix.
      sizes: the rows of each parameter, in order.
      inputs: the columns of the matrix.

    Example:
      >>> [entry.shape for entry in rows("qkv", {"query.kernel": 4, "key.kernel": 2}, 8)]
      [(6, 8), (6, 8)]
    """
    ends = list(itertools.accumulate(sizes.values()))
    return [
        Entry(disk, ours, operator.itemgetter(slice(end - size, end)), (ends[-1], inputs))
        for (ours, size), end in zip(sizes.items(), ends, strict=True)
    ]


@dataclass(frozen=True)
class Join:
    """A part of a tensor on disk, and the parameter or part of one that it is."""

    entry: Entry
    shape: tuple[int, ...]
    """Of the tensor on disk."""
    filled: tuple[int, ...]
    """The shape of what it fills, or one with several axes in the place of its heads."""
    inputs: int
    """Of a kernel, the axes of the input, which come first; 0 of other parameters."""
    stacked: int
    """Axes before those, of experts, each of which has a kernel of its own."""
    parameter: nnx.Variable[Any]

    def of(self, tensor: np.ndarray) -> np.ndarray:
        """Returns the view of the tensor that has the shape `filled`; never a copy.

        Raises:
          ValueError: The part that is meant is not so large.
        """
        meant = tensor if self.entry.view is None else self.entry.view(tensor)
        inputs, outputs = np.split(np.arange(self.stacked, len(self.filled)), [self.inputs])
        on_disk = (*range(self.stacked), *outputs, *inputs)
        laid_out = reshaped(meant, [self.filled[i] for i in on_disk])
        return laid_out.transpose(np.argsort(on_disk))

    def named(self, disk: str) -> "Join":
        """Returns the same of a tensor of another name."""
        return replace(self, entry=replace(self.entry, disk=disk))


def reshaped(tensor: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Returns a view in another shape.

    Raises:
      ValueError: It would be a copy.
    """
    return np.reshape(tensor, shape, copy=False)


def parameters(model: nnx.Module) -> dict[str, nnx.Variable[Any]]:
    """Returns the parameters of a model by dotted path.

    Example:
      >>> from attnjax.nn import FeedForward
      >>> sorted(parameters(FeedForward(2, 3, bias=False, rngs=nnx.Rngs(0))))
      ['down.kernel', 'up.kernel']
    """
    leaves = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {".".join(map(str, path)): param for path, param in leaves}


def joined(
    entries: Iterable[Entry], params: Params, tensors: Mapping[str, np.ndarray] | None, label: str
) -> list[Join]:
    """Returns the entries with the shapes of what they join; all parameters and tensors are used once.

    Args:
      entries: the table.
      params: of the model.
      tensors: on disk, without those that are to be left out; None: there are none, they are to be written.
      label: what the error calls them.

    Raises:
      InputError: One list of all parameters that no tensor fills or that several do, of all tensors that
        nothing reads or that are read in part or twice, of all that have another shape or no floating point.
    """
    wrong: list[str] = []
    parts: list[Join] = []
    fills: Counter[tuple[str, int | None]] = Counter()
    read: Counter[str] = Counter()
    for entry in entries:
        parameter = params.get(entry.ours)
        if parameter is None:
            wrong.append(f"{entry.disk}: the model has no parameter {entry.ours}")
            continue
        part = join(entry, parameter)
        fills[entry.ours, entry.at] += 1
        read[entry.disk] += math.prod(part.filled)
        parts.append(part)
        if tensors is None:
            continue
        tensor = tensors.get(entry.disk)
        if tensor is None:
            wrong.append(f"{entry.ours}: there is no tensor {entry.disk}")
        elif tensor.shape != part.shape:
            wrong.append(f"{entry.disk} {list(tensor.shape)}: expected {list(part.shape)} for {entry.ours}")
        elif not jax.dtypes.issubdtype(tensor.dtype, np.floating) or tensor.dtype.itemsize < 2:
            wrong.append(f"{entry.disk} is {tensor.dtype}: expected floating point of 16 bits or more")
    wrong += [f"{name}{_at(at)}: several tensors fill it" for (name, at), n in fills.items() if n > 1]
    wrong += _unfilled(params, fills)
    sizes = {part.entry.disk: math.prod(part.shape) for part in parts}
    for disk, size in read.items():
        if size != sizes[disk]:
            wrong.append(f"{disk}: of its {sizes[disk]} numbers {size} are read")
    wrong += [f"{name}: nothing reads it" for name in sorted((tensors or {}).keys() - read.keys())]
    if wrong:
        raise InputError(f"{label} does not fit the model in {len(wrong)} places: {'; '.join(wrong)}")
    return parts


def _unfilled(params: Params, fills: Mapping[tuple[str, int | None], int]) -> list[str]:
    places: dict[str, set[int | None]] = {}
    for name, at in fills:
        places.setdefault(name, set()).add(at)
    wrong = [f"{name}: no tensor fills it" for name in params.keys() - places.keys()]
    for name, found in places.items():
        expected = set(range(params[name].shape[0])) if found != {None} else {None}
        wrong += [f"{name}{_at(at)}: no tensor fills it" for at in sorted(expected - found, key=str)]
        wrong += [f"{name}{_at(at)}: there is no such place" for at in sorted(found - expected, key=str)]
    return sorted(wrong)


def _at(at: int | None) -> str:
    return "" if at is None else f"[{at}]"


def join(entry: Entry, parameter: nnx.Variable[Any]) -> Join:
    """Returns an entry with the shapes of what it joins."""
    dropped = 0 if entry.at is None else 1
    filled = tuple(parameter.shape)[dropped:]
    axes = parameter.get_metadata("axes", (None,) * len(parameter.shape))[dropped:]
    stacked = int(bool(axes) and axes[0] == "experts" and len(axes) > 1)
    inputs = 0
    if entry.ours.endswith("kernel"):
        # All but the last where the output is the width of the model.
        inputs = len(filled) - stacked - 1 if axes[-1] == "embed" else 1
    if entry.heads is not None:
        place = next(i for i, axis in enumerate(axes) if axis in ("heads", "kv_heads"))
        filled = *filled[:place], *entry.heads, *filled[place + 1 :]
    shape = entry.shape
    if shape is None:
        shape = *filled[:stacked], *_on_disk(filled[stacked:], axes[stacked:], inputs)
    return Join(entry, shape, filled, inputs, stacked, parameter)


def _on_disk(shape: tuple[int, ...], axes: Sequence[str | None], inputs: int) -> tuple[int, ...]:
    """Returns the shape that PyTorch gives a parameter: heads are one axis, matrices have (out, in)."""
    if inputs:
        return math.prod(shape[inputs:]), math.prod(shape[:inputs])
    heads = len(shape) > 1 and axes[-1] == "head_dim"
    return (*shape[:-2], shape[-2] * shape[-1]) if heads else shape
