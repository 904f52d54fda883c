"""The safetensors format: a header in JSON that says where each tensor lies, then their bytes.

A file begins with the length of the header, 8 bytes, little end first. The header maps names to dtype, shape
and the first and last byte of the data. Reading maps the file into memory: what is not looked at is not read.
"""

import json
import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from attnjax.config import InputError

_DTYPES = {
    "F64": np.dtype("float64"),
    "F32": np.dtype("float32"),
    "F16": np.dtype("float16"),
    "BF16": np.dtype(jnp.bfloat16),
    "F8_E4M3": np.dtype(jnp.float8_e4m3fn),
    "F8_E5M2": np.dtype(jnp.float8_e5m2),
    **{f"I{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"U{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    "BOOL": np.dtype("bool"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
CHUNK_BYTES = 1 << 20
"""So many bytes of a file are looked at before they are let go of."""
_LENGTH_BYTES = 8
_MOST_HEADER_BYTES = 100_000_000


class Written(NamedTuple):
    """A tensor to be written: its header, and what makes its values when its turn comes."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    make: Callable[[], np.ndarray]


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a file by name, as views of its bytes, which are read when they are looked at.

    Raises:
      InputError: The file is cut off or holds something else; its header lies about the length, about a dtype
        or shape, or has tensors of one name, that overlap, or that leave bytes between them.
    """
    size = path.stat().st_size
    if size < _LENGTH_BYTES:
        raise InputError(f"{path} has {size} bytes: it is no safetensors file, or cut off")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > min(size - _LENGTH_BYTES, _MOST_HEADER_BYTES):
            raise InputError(
                f"{path} announces a header of {length} bytes and has {size}: it is no safetensors file, or "
                "cut off"
            )
        header = _header(path, file.read(length))
        data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    data = data[_LENGTH_BYTES + length :]
    tensors: dict[str, np.ndarray] = {}
    end = 0
    for name, (dtype, shape, start, stop) in sorted(header.items(), key=lambda item: item[1][2:]):
        if start != end:
            what = "overlaps another tensor" if start < end else f"leaves {start - end} bytes before it"
            raise InputError(f"{path}: {name} begins at byte {start} of the data and {what}")
        if stop > data.size:
            raise InputError(f"{path}: {name} ends at byte {stop} of {data.size}: the file is cut off")
        tensors[name] = data[start:stop].view(dtype).reshape(shape)
        end = stop
    if end != data.size:
        raise InputError(f"{path} has {data.size - end} bytes after its last tensor: it is damaged")
    return tensors


def release(array: np.ndarray) -> None:
    """Lets go of what was read of the file under a view; it is read again when it is looked at."""
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


def write_safetensors(path: Path, tensors: Iterable[Written]) -> None:
    """Writes a file of tensors, one after the other; a crash leaves the old file, or none.

    Raises:
      InputError: A tensor has a dtype that the format lacks.
    """
    tensors, end = list(tensors), 0
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # Transformers refuses files without it.
    for name, dtype, shape, _ in tensors:
        if dtype not in _CODES:
            raise InputError(f"{name} is {dtype}: safetensors has {', '.join(map(str, _CODES))}")
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _CODES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    with atomic(path) as file:
        file.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
        for name, dtype, shape, make in tensors:
            values = make()
            assert (values.shape, values.dtype) == (shape, dtype), name
            file.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)


class atomic:
    """A context in which a file is written under another name, and takes its own at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Any:
        self._file = tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=".part-", delete=False)
        return self._file

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            os.chmod(self._file.name, 0o666 & ~_umask())
            os.replace(self._file.name, self._path)
            return
        with suppress(FileNotFoundError):
            os.unlink(self._file.name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _header(path: Path, text: bytes) -> dict[str, tuple[np.dtype[Any], tuple[int, ...], int, int]]:
    """Returns dtype, shape, first and last byte of each tensor."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise InputError(f"{path}: its header has {name!r} twice")
            found[name] = value
        return found

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=once)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its header is no JSON, so it is no safetensors file ({error})") from None
    if not isinstance(header, dict):
        raise InputError(f"{path}: its header is no JSON object, so it is no safetensors file")
    header.pop("__metadata__", None)
    return {name: _place(f"{path}: {name}", about) for name, about in header.items()}


def _place(label: str, about: Any) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    try:
        code, shape, (start, stop) = about["dtype"], about["shape"], about["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in (*shape, start, stop))
    except (TypeError, KeyError, ValueError):
        whole = False
    if not whole:
        raise InputError(
            f"{label} lacks dtype, shape or data_offsets in whole numbers: the header is damaged"
        )
    if code not in _DTYPES:
        raise InputError(f"{label} has dtype {code!r}: expected one of {', '.join(_DTYPES)}")
    dtype = _DTYPES[code]
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise InputError(
            f"{label} {shape} of {code} has {math.prod(shape) * dtype.itemsize} bytes, but its offsets "
            f"{[start, stop]} hold {stop - start}"
        )
    return dtype, tuple(shape), start, stop
