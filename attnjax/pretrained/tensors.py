"""The tensors of a folder by name, read when they are looked at: of safetensors or of PyTorch's files."""

import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from attnjax.config import InputError
from attnjax.interop.weights import as_numpy
from attnjax.pretrained.safetensors_file import CHUNK_BYTES, read_safetensors, release

Tensors = dict[str, np.ndarray]
"""Views of the bytes of files."""
Read = Callable[[Path], Tensors]
SAFETENSORS = "model.safetensors"
TORCH = "pytorch_model.bin"
REFUSED = (".pkl", ".pickle", ".ckpt", ".pt", ".pth", ".bin", ".h5", ".msgpack", ".npz", ".gguf", ".onnx")
"""Endings of files with weights that are not read: pickles run code, others have other names inside."""


def open_tensors(folder: Path) -> Tensors:
    """Returns the tensors of a folder by name.

    It reads model.safetensors, or the shards that model.safetensors.index.json lists, else pytorch_model.bin
    or its shards, which need torch. Bytes are read when a tensor is looked at, those of a safetensors file
    from a mapping of the file.

    Raises:
      InputError: The folder has no such file; a file is damaged, cut off, or is a pickle of more than
        tensors; a shard is missing or lacks a tensor, or two have one.
    """
    for name, read in ((SAFETENSORS, read_safetensors), (TORCH, _read_torch)):
        if (folder / name).is_file():
            return read(folder / name)
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _read_shards(index, read)
    others = sorted(file.name for file in folder.iterdir() if file.suffix in REFUSED)
    there_are = f"; it has {', '.join(others[:3])}, which are not read" if others else ""
    raise InputError(f"{folder} has no {SAFETENSORS}, nor its shards, nor {TORCH}{there_are}")


def same(one: np.ndarray, other: np.ndarray | None) -> bool:
    """Returns True for tensors that are equal bit for bit; they are read a few rows at a time."""
    if other is None or (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    rows = max(1, CHUNK_BYTES * len(one) // max(1, one.nbytes))
    for start in range(0, len(one), rows):
        if one[start : start + rows].tobytes() != other[start : start + rows].tobytes():
            return False
        release(one)
        release(other)
    return True


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object of a JSON file.

    Raises:
      InputError: There is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path.parent} has no {path.name}: expected a folder of a pretrained model"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} is no JSON object")
    return found


def _read_shards(index: Path, read: Read) -> Tensors:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise InputError(f"{index} has no weight_map from tensors to files")
    tensors: Tensors = {}
    for file in sorted(set(places.values())):
        if PurePath(file).name != file:
            raise InputError(f"{index} names the file {file!r}: expected one of its own folder")
        if not (index.parent / file).is_file():
            raise InputError(f"{index.parent} lacks {file}, which {index.name} names")
        shard = read(index.parent / file)
        if twice := shard.keys() & tensors.keys():
            raise InputError(f"{index.parent}: {min(twice)} is in {file} and in another shard")
        tensors |= shard
    if missing := sorted(places.keys() - tensors.keys()):
        raise InputError(f"{index} names {_some(missing)}, which its files lack")
    if strange := sorted(tensors.keys() - places.keys()):
        raise InputError(f"{index} does not name {_some(strange)}, which its files have")
    return tensors


def _read_torch(path: Path) -> Tensors:
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{path} needs torch to be read (pip install torch); {SAFETENSORS} needs nothing"
        ) from None
    options: dict[str, Any] = {"map_location": "cpu", "weights_only": True}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of pickles' versions: what is wrong with one is said below.
            try:
                loaded = torch.load(path, mmap=True, **options)
            except RuntimeError:
                loaded = torch.load(path, **options)  # Files older than torch 1.6 cannot be mapped.
    except (
        pickle.UnpicklingError
    ):  # Its text tells how to read the file all the same, which may run what is in it.
        raise InputError(f"{path} holds more than tensors, or is damaged, and is not read") from None
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{path} is damaged, and is not read: {reason}") from None
    if not isinstance(loaded, dict) or not all(isinstance(x, torch.Tensor) for x in loaded.values()):
        raise InputError(f"{path} holds something else than tensors by name")
    return {name: as_numpy(tensor) for name, tensor in loaded.items()}


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
