"""Copies from files into parameters and back, a few megabytes at a time."""

import functools
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding

from attnjax.config import InputError
from attnjax.pretrained.safetensors_file import CHUNK_BYTES, Written, release
from attnjax.pretrained.table import Join

Place = Callable[[tuple[str | None, ...], tuple[int, ...]], Sharding]
"""The sharding of a parameter by the names of its axes and its shape."""
_ALIGNMENT_BYTES = 64
"""JAX takes arrays of NumPy that lie so on a CPU as they are, without a copy."""


def filled(
    parts: Iterable[Join], tensors: Mapping[str, np.ndarray], *, dtype: Any, place: Place | None
) -> dict[str, jax.Array]:
    """Returns the values of parameters by path, each read, converted and placed before the next is.

    Args:
      parts: which tensor goes where.
      tensors: on disk.
      dtype: of the values; None: that of each tensor.
      place: says where a value lies; only its part for this host's devices is read. None: the first device.

    Raises:
      InputError: A value has no finite number in the dtype, or the dtype needs jax_enable_x64.
    """
    values: dict[str, jax.Array] = {}
    for name, group in groupby(sorted(parts, key=_by_target), key=lambda part: part.entry.ours):
        own = list(group)
        views = [part.of(tensors[part.entry.disk]) for part in own]
        kept = np.dtype(views[0].dtype if dtype is None else dtype)
        if jax.dtypes.canonicalize_dtype(kept) != kept:
            raise InputError(f"{own[0].entry.disk} as {kept}: expected dtype='float32', or jax_enable_x64")
        whole = tuple(own[0].parameter.shape)
        source = _Stack(views) if own[0].entry.at is not None else _Single(views[0], whole)
        values[name] = _placed(name, source, kept, place, own[0])
    return values


def written(parts: Iterable[Join]) -> list[Written]:
    """Returns the tensors that parts of parameters make up, in the order of their names."""
    tensors = []
    for disk, group in groupby(sorted(parts, key=lambda part: part.entry.disk), key=lambda p: p.entry.disk):
        own = list(group)
        dtype = np.result_type(*(part.parameter[...].dtype for part in own))
        make = functools.partial(_made, own, dtype)
        tensors.append(Written(disk, dtype, own[0].shape, make))
    return tensors


def _made(parts: list[Join], dtype: Any) -> np.ndarray:
    tensor = np.empty(parts[0].shape, dtype)
    for part in parts:
        value = np.asarray(part.parameter[...])
        part.of(tensor)[...] = (value if part.entry.at is None else value[part.entry.at]).reshape(part.filled)
    return tensor


class _Single:
    """A view of one tensor on disk as a value of some shape, of which any part can be copied."""

    def __init__(self, view: np.ndarray, shape: tuple[int, ...]) -> None:
        self._view = view
        self.shape = shape

    def into(self, out: np.ndarray, index: tuple[slice, ...]) -> None:
        if self._view.shape == self.shape:
            _copy(self._view[index], out)
        else:  # Its heads lie apart: a part of them is taken out of a copy.
            whole = out if out.shape == self.shape else np.empty(self.shape, out.dtype)
            _copy(self._view, whole.reshape(self._view.shape))
            if whole is not out:
                out[...] = whole[index]


class _Stack:
    """Views of several tensors on disk, one for each place of the first axis."""

    def __init__(self, views: list[np.ndarray]) -> None:
        self._views = views
        self.shape = (len(views), *views[0].shape)

    def into(self, out: np.ndarray, index: tuple[slice, ...]) -> None:
        for row, view in zip(out, self._views[index[0]], strict=True):
            _copy(view[index[1:]], row)


def _placed(name: str, source: _Single | _Stack, dtype: Any, place: Place | None, part: Join) -> jax.Array:
    def read(index: tuple[slice, ...] | None) -> np.ndarray:
        index = tuple(slice(None) for _ in source.shape) if index is None else index
        shape = tuple(len(range(*own.indices(size))) for own, size in zip(index, source.shape, strict=True))
        out = _aligned(shape, dtype)
        with np.errstate(over="ignore"):  # What it makes of the value is looked at below.
            source.into(out, index)
        if dtype == np.float16 and not np.isfinite(out).all():
            raise InputError(f"{part.entry.disk} has numbers that float16 lacks: expected another dtype")
        return out

    if place is None:
        return jax.device_put(read(None))
    axes = part.parameter.get_metadata("axes", (None,) * len(source.shape))
    return jax.make_array_from_callback(source.shape, place(axes, source.shape), read)


def _copy(view: np.ndarray, out: np.ndarray) -> None:
    """Copies along the axis that is outermost in the file, so that each page of it is read once."""
    if view.nbytes <= CHUNK_BYTES:
        out[...] = view
    else:
        axis = max(range(view.ndim), key=lambda i: (view.shape[i] > 1) * abs(view.strides[i]))
        step = max(1, CHUNK_BYTES * view.shape[axis] // view.nbytes)
        for start in range(0, view.shape[axis], step):
            where = (slice(None),) * axis + (slice(start, start + step),)
            out[where] = view[where]
            release(view)
    release(view)


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + _ALIGNMENT_BYTES, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT_BYTES
    return raw[start : start + size].view(dtype).reshape(shape)


def _by_target(part: Join) -> tuple[str, int]:
    return part.entry.ours, -1 if part.entry.at is None else part.entry.at
