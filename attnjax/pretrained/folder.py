"""Folders as Hugging Face writes them, to models and back: config.json and the tensors beside it."""

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import nnx
from jax.sharding import Sharding

from attnjax.config import InputError
from attnjax.nn.stacked import unstacked
from attnjax.pretrained.copying import Place, filled, written
from attnjax.pretrained.family import Family, find
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.safetensors_file import atomic, write_safetensors
from attnjax.pretrained.table import Entry, Join, join, joined, parameters
from attnjax.pretrained.tensors import SAFETENSORS, TORCH, Tensors, open_tensors, read_json

CONFIG = "config.json"
DTYPES = ("float32", "bfloat16", "float16", "float64")
"""Dtypes that a model may have; tensors on disk may have others, which are converted."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a model came from, which it keeps as a static attribute `origin`.

    Attributes:
      family: its name.
      config: the text of config.json.
      copies: tensors that were copies of others.
      renamed: names in the family's table, and what stood on disk, where that was another.
    """

    family: str
    config: str
    copies: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()


class Opened(NamedTuple):
    """A folder whose tensors and parameters are joined, before anything is read.

    Attributes:
      family: that of its config.json.
      model: with shapes in place of parameters.
      parts: which tensor goes where.
      tensors: on disk.
      origin: of the model.
    """

    family: Family
    model: nnx.Module
    parts: list[Join]
    tensors: Tensors
    origin: Origin


def from_pretrained(
    folder: str | Path, *, dtype: Any = None, sharding: Sharding | Place | None = None
) -> nnx.Module:
    """Returns the model in a folder with config.json and safetensors or pytorch_model.bin.

    Every tensor of the files goes into one parameter, and every parameter comes from one tensor: otherwise
    the model is not made. Tensors are read one after the other into their dtype and place.

    Args:
      folder: as `save_pretrained` of transformers or of this package writes it.
      dtype: of parameters and computation; None: that of each tensor, and that of most of them.
      sharding: of all parameters, or a function from the names of a parameter's axes and its shape, such as
        `ShardingPlan.of`, to its sharding; None: all on the first device.

    Raises:
      InputError: The folder has no config.json, or of a family that is not known, or with a key that is not;
        files are damaged; tensors and parameters do not fit, of which the error lists all; the dtype is none
        of float32, bfloat16, float16 and float64.
    """
    if dtype is not None and np.dtype(dtype).name not in DTYPES:
        raise InputError(f"dtype {np.dtype(dtype).name!r}: expected one of {', '.join(DTYPES)}")
    opened = open_folder(folder, dtype=dtype)
    place: Place | None
    if isinstance(sharding, Sharding):
        everywhere = sharding
        place = lambda axes, shape: everywhere  # noqa: E731
    else:
        place = sharding
    values = filled(opened.parts, opened.tensors, dtype=dtype, place=place)
    graph, state = nnx.split(opened.model)
    leaves = [
        (path, param.replace(values[".".join(map(str, path))])) for path, param in nnx.to_flat_state(state)
    ]
    model = nnx.merge(graph, nnx.from_flat_state(leaves))
    setattr(model, "origin", opened.origin)  # noqa: B010
    return model


def open_folder(folder: str | Path, *, dtype: Any = None) -> Opened:
    """Returns what a folder holds, joined with the parameters of a model that has no values yet.

    Raises:
      InputError: As in `from_pretrained`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: nothing is downloaded, expected one of Hugging Face")
    raw = read_json(folder / CONFIG)
    label = str(folder / CONFIG)
    keys = Keys(raw, label)
    family = find(keys.take("model_type", kind=str), label)
    tensors = open_tensors(folder)
    names = family.in_table(tensors)
    tensors = {names[name]: x for name, x in tensors.items()}
    config, sizes = family.read(keys, tensors)
    keys.finish()
    named = np.dtype(dtype or _commonest(tensors)).name
    config = dataclasses.replace(config, dtype=named, param_dtype=named)
    model = nnx.eval_shape(lambda: family.model(config, **sizes, rngs=nnx.Rngs(0)))
    copies = tuple(sorted(_copies(family, model, tensors, label)))
    left_out = re.compile("|".join(f"(?:{pattern})" for pattern in family.ignored) or "(?!)")
    meant = {name: x for name, x in tensors.items() if name not in copies and not left_out.fullmatch(name)}
    parts = joined(family.table(model), parameters(model), meant, str(folder))
    renamed = tuple((new, old) for old, new in names.items() if new != old and new in meant)
    origin = Origin(family.name, json.dumps(raw), copies, renamed)
    return Opened(family, model, parts, meant, origin)


def save_pretrained(model: nnx.Module, folder: str | Path, *, family: str | None = None) -> None:
    """Writes a model as a folder that transformers loads: config.json and model.safetensors.

    A model that `from_pretrained` made is written with the config.json that it had, under the names that its
    tensors had, in the dtype of its parameters. The tokenizer is not part of a model: copy its files.

    Args:
      model: of a class that a family has.
      folder: to be written, with its parents. It may exist, without other weights in it.
      family: the name of the family to write; None: that which the model came from.

    Raises:
      InputError: No family is given and the model came from none; there is none of that name; the family has
        no name for a parameter or a setting of the model; the folder holds other weights.
    """
    folder = Path(folder)
    model = unstacked(model)
    origin = getattr(model, "origin", None)
    if family is None and origin is None:
        raise InputError("family is None, and the model came from none: expected its name, such as 'llama'")
    if origin is None or (family is not None and family != origin.family):
        assert family is not None
        origin = Origin(family, json.dumps(_config_of(find(family, "family"), model)))
    found = find(origin.family, "family")
    parts = _parts(found, model, origin)
    others = [
        name
        for name in (f"{SAFETENSORS}.index.json", TORCH, f"{TORCH}.index.json")
        if (folder / name).exists()
    ]
    if others:
        raise InputError(f"{folder} has other weights, {', '.join(others)}: expected another folder")
    tensors = written(parts)
    raw = json.loads(origin.config)
    for name in ("torch_dtype", "dtype"):
        if name in raw:
            raw[name] = _commonest_name([tensor.dtype.name for tensor in tensors])
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / SAFETENSORS, tensors)
    with atomic(folder / CONFIG) as file:
        file.write((json.dumps(raw, indent=2) + "\n").encode())


def _config_of(family: Family, model: Any) -> dict[str, Any]:
    """Returns a config.json that the family reads as the config of the model."""
    raw = {"architectures": [family.peer], "model_type": family.name, "dtype": ""} | family.write(model)
    held = {entry.disk: np.zeros(()) for entry in family.table(model)}
    config, _ = family.read(Keys(raw, f"family {family.name}"), held)
    config = dataclasses.replace(config, dtype=model.config.dtype, param_dtype=model.config.param_dtype)
    given, found = model.config.filled(), config.filled()
    unsaid = {"implementation", "scan_layers"}
    if getattr(config, "tie_embeddings", False):
        unsaid.add("output_bias")  # It is of a head that is not the embedding.
    for name in [field.name for field in dataclasses.fields(config) if field.name not in unsaid]:
        ours, theirs = getattr(given, name), getattr(found, name)
        if ours != theirs:
            raise InputError(f"model.{name} is {ours!r}: a {family.name} of such a config has {theirs!r}")
    return raw


def _parts(family: Family, model: nnx.Module, origin: Origin) -> list[Join]:
    """Returns the tensors of a model under the names that they had on disk, with those that are copies."""
    params = parameters(model)
    parts = joined(family.table(model), params, None, f"family {family.name}")
    parts += [join(Entry(name, family.ties[name]), params[family.ties[name]]) for name in origin.copies]
    on_disk = dict(origin.renamed)
    return [part.named(on_disk.get(part.entry.disk, part.entry.disk)) for part in parts]


def _copies(family: Family, model: nnx.Module, tensors: Tensors, label: str) -> list[str]:
    """Returns the tensors that are copies of those that the same parameter is filled from."""
    homes = {entry.ours: entry.disk for entry in family.table(model)}
    used = set(homes.values())
    return [
        name for name, ours in family.ties.items() if name in tensors and name not in used and ours in homes
    ]


def _commonest(tensors: Tensors) -> Any:
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype.name] += tensor.size
    known = [name for name, _ in sizes.most_common() if name in DTYPES]
    return known[0] if known else "float32"


def _commonest_name(names: list[str]) -> str:
    return Counter(names).most_common(1)[0][0]
