"""Meshes and rules in words: which axes devices form, and what is split over them. Free of jax.

data      batches
fsdp      batches and, by the rules, parameters with what the optimiser keeps for them
model     parameters and what blocks compute of them: heads, hidden units, vocabulary
context   sequences, in attention
"""

import difflib
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

from attnjax.config import BATCH_AXES, InputError, require

Rules = Mapping[str, str]
"""The mesh axis over which a logical axis of parameters ("mlp", "heads", …) is split; "*" is any of them but
"layers", which stacked blocks have.

An array takes the rules in their order. A mesh axis splits one axis of an array, and that once.
"""
ANY = "*"
REPLICATED: Rules = {}
"""Every device holds every parameter."""
_TENSOR: Rules = {"experts": "model", "heads": "model", "kv_heads": "model", "mlp": "model", "vocab": "model"}
_FSDP: Rules = {"embed": "fsdp", ANY: "fsdp"}
PRESETS: Mapping[str, Rules] = {
    "replicated": REPLICATED,
    "fsdp": _FSDP,
    "tensor": _TENSOR,
    "fsdp+tensor": {**_TENSOR, **_FSDP},
}
"""The rules that have a name."""
AUTO = "auto"


@dataclass(frozen=True)
class MeshShape:
    """The number of devices along each axis of a mesh.

    Example:
      >>> shape = MeshShape(data=4, fsdp=2)
      >>> str(shape), shape.devices, shape.batch_shards
      ('data=4,fsdp=2', 8, 8)
    """

    data: int = 1
    """Devices that batches are split over."""
    fsdp: int = 1
    """Devices that batches and parameters are split over."""
    model: int = 1
    """Devices that parameters and activations are split over."""
    context: int = 1
    """Devices that sequences are split over."""

    def __str__(self) -> str:
        """Returns the axes with more than one device, as `read_mesh` reads them."""
        return ",".join(f"{name}={n}" for name, n in self.sizes.items() if n > 1) or "data=1"

    @property
    def sizes(self) -> dict[str, int]:
        """The number of devices by axis."""
        return {name: getattr(self, name) for name in AXES}

    @property
    def devices(self) -> int:
        """The number of devices in all."""
        return math.prod(self.sizes.values())

    @property
    def batch_shards(self) -> int:
        """The number of parts that a batch is split into."""
        return self.data * self.fsdp

    def require_devices(self, available: int, there: str) -> Self:
        """Returns the mesh. Raises InputError, with the nearest that fits, if there are fewer devices."""
        if self.devices <= available:
            return self
        nearest = self
        while nearest.devices > available:
            axis = max(AXES, key=lambda name: nearest.sizes[name])
            others = nearest.devices // nearest.sizes[axis]
            nearest = replace(nearest, **{axis: max(1, available // others)})
        changed = " and ".join(name for name in AXES if self.sizes[name] != nearest.sizes[name])
        raise InputError(
            f"mesh {self} needs {self.devices} devices: {there}; {changed} must be smaller, {nearest} fits"
        )

    def require_batch(self, micro_batch: int) -> Self:
        """Returns the mesh. Raises InputError, with the nearest that fits, if a batch is not split evenly."""
        if micro_batch % self.batch_shards == 0:
            return self
        smaller = itertools.product(range(1, self.data + 1), range(1, self.fsdp + 1))
        fitting = [pair for pair in smaller if micro_batch % math.prod(pair) == 0]
        data, fsdp = max(fitting, key=lambda pair: (math.prod(pair), pair[1]))
        shards = " · ".join(f"{name}={self.sizes[name]}" for name in BATCH_AXES if self.sizes[name] > 1)
        raise InputError(
            f"train.batch_size / train.accumulate is {micro_batch}: {shards} of the mesh must divide it; "
            f"{replace(self, data=data, fsdp=fsdp)} fits"
        )


AXES = tuple(field.name for field in fields(MeshShape))
"""The axes that a mesh may have, the slowest first: neighbours along the last ones lie closest."""


def read_mesh(text: str, rules: Rules = REPLICATED) -> dict[str, int | None]:
    """Returns the size of each axis that a text names; None for the one that takes all remaining devices.

    Args:
      text: `data=4,fsdp=2,model=4,context=2`, any of them, one perhaps `auto`; or `auto` alone.
      rules: decide which axis `auto` alone is: the one that they split parameters over, else `data`.

    Raises:
      InputError: an axis is unknown or named twice, a size is not a whole number ≥ 1, two are `auto`.

    Example:
      >>> read_mesh("data=2,model=4"), read_mesh("auto", PRESETS["fsdp"])
      ({'data': 2, 'model': 4}, {'fsdp': None})
    """
    if text.strip() == AUTO:
        used = list(dict.fromkeys(rules.values()))
        return {"fsdp" if "fsdp" in used else used[0] if used else "data": None}
    found: dict[str, int | None] = {}
    for part in text.split(","):
        name, equals, size = (piece.strip() for piece in part.partition("="))
        require(bool(equals), f"mesh is {text!r}: expected {AUTO} or axes as data=4,fsdp=2")
        require(name in AXES, f"mesh is {text!r}: {_unknown('axis', name, AXES)}")
        require(name not in found, f"mesh is {text!r}: {name} is there twice")
        whole = size == AUTO or (size.isascii() and size.isdigit() and int(size) >= 1)
        require(whole, f"mesh is {text!r}: {name} must be a whole number ≥ 1 or {AUTO}, got {size!r}")
        found[name] = None if size == AUTO else int(size)
    several = list(found.values()).count(None) > 1
    require(not several, f"mesh is {text!r}: one axis at most can be {AUTO}")
    return found


def fill_mesh(sizes: Mapping[str, int | None], available: int, there: str = "there are fewer") -> MeshShape:
    """Returns the mesh of these sizes on so many devices, which it may leave some of.

    Args:
      sizes: by `read_mesh`; None takes what the others leave.
      available: the number of devices.
      there: what is said of them in the error.

    Raises:
      InputError: there are fewer devices, with the axis that is too large and the nearest mesh that fits.

    Example:
      >>> str(fill_mesh({"data": None, "model": 2}, 8))
      'data=4,model=2'
    """
    shape = MeshShape(**{name: size or 1 for name, size in sizes.items()}).require_devices(available, there)
    rest = available // shape.devices
    return replace(shape, **{name: rest for name, size in sizes.items() if size is None})


def read_rules(text: str) -> Rules:
    """Returns the rules of a text: the name of a preset, perhaps with changes, or rules alone.

    Args:
      text: `fsdp`, `fsdp+tensor,vocab=none`, `mlp=model,heads=model`; rules of one's own come first.

    Raises:
      InputError: a preset or a mesh axis is unknown, or a logical axis is there twice.

    Example:
      >>> read_rules("tensor,vocab=none,embed=fsdp")
      {'embed': 'fsdp', 'experts': 'model', 'heads': 'model', 'kv_heads': 'model', 'mlp': 'model'}
    """
    first, *rest = (part.strip() for part in text.split(","))
    preset: Rules = {}
    if "=" in first:
        rest = [first, *rest]
    else:
        require(first in PRESETS, f"rules are {text!r}: {_unknown('preset', first, PRESETS)}")
        preset = PRESETS[first]
    own: dict[str, str] = {}
    for part in rest:
        logical, equals, axis = (piece.strip() for piece in part.partition("="))
        require(
            bool(equals and logical),
            f"rules are {text!r}: expected rules as mlp=model after a preset, got {part!r}",
        )
        known = axis in (*AXES, "none")
        require(known, f"rules are {text!r}: {_unknown('axis', axis, (*AXES, 'none'))}")
        require(logical not in own, f"rules are {text!r}: {logical} is there twice")
        own[logical] = axis
    merged = own | {logical: axis for logical, axis in preset.items() if logical not in own}
    return {logical: axis for logical, axis in merged.items() if axis != "none"}


def write_rules(rules: Rules) -> str:
    """Returns the text that `read_rules` reads as these rules: the name of a preset where they are one.

    Example:
      >>> write_rules(PRESETS["fsdp"]), write_rules({"mlp": "model"})
      ('fsdp', 'mlp=model')
    """
    for name, preset in PRESETS.items():
        if list(preset.items()) == list(rules.items()):
            return name
    return ",".join(f"{logical}={axis}" for logical, axis in rules.items())


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
    return f"unknown {kind} {name!r}; {hint}"
