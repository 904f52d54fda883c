"""The tensors and nodes of an ONNX file, read by hand: its protocol buffers need no library for so little."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16", 11: "float64"}
# Numbers of fields, as onnx.proto has them.
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_DIMS, _DTYPE, _FLOATS, _WHOLE, _NAME, _RAW = 1, 2, 4, 5, 8, 9


class Node(NamedTuple):
    """An operation of the graph."""

    name: str
    kind: str
    inputs: list[str]
    outputs: list[str]


def read_onnx(path: Path) -> tuple[dict[str, np.ndarray], list[Node]]:
    """The tensors by name, and the nodes in order."""
    data = memoryview(path.read_bytes())
    graph = next(value for field, value in fields(data) if field == _GRAPH)
    tensors: dict[str, np.ndarray] = {}
    nodes = []
    for field, value in fields(graph):
        if field == _INITIALIZER:
            name, tensor = _tensor(value)
            tensors[name] = tensor
        elif field == _NODE:
            parts: dict[int, list[str]] = {1: [], 2: [], 3: [""], 4: [""]}
            for number, part in fields(value):
                if number in parts:
                    parts[number].append(bytes(part).decode())
            nodes.append(Node(parts[3][-1], parts[4][-1], parts[1], parts[2]))
    return tensors, nodes


def fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The fields of a message: their numbers, and bytes or whole numbers."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size, at = _varint(data, at)
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _tensor(data: memoryview) -> tuple[str, np.ndarray]:
    shape: list[int] = []
    whole: list[int] = []
    name, dtype, raw = "", 1, b""
    for field, value in fields(data):
        if field == _DIMS:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif field == _WHOLE:
            whole += [value] if isinstance(value, int) else _packed(value)
        elif field == _DTYPE:
            dtype = value
        elif field == _NAME:
            name = bytes(value).decode()
        elif field in (_RAW, _FLOATS):
            raw = bytes(value)
    kind = np.dtype(DTYPES[dtype])
    values = np.frombuffer(raw, kind) if raw else np.array(whole, np.uint64).astype(kind)
    return name, values.reshape(shape)


def _packed(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values
