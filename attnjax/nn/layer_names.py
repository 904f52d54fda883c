"""Names of parameters that hold several layers: "blocks.0:4.norm.scale" has those of layers 0 to 3, stacked.

The part with colons is a slice as Python writes it, so that a name tells which layers an array holds, and who
reads names needs nothing else.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

LAYERS = "layers"
"""The logical name of the axis that layers are stacked along, the first one of an array."""


def key_of(layers: range) -> str:
    """Returns the part of a name that stands for these layers.

    Example:
      >>> key_of(range(4)), key_of(range(1, 8, 3))
      ('0:4', '1:8:3')
    """
    step = "" if layers.step == 1 else f":{layers.step}"
    return f"{layers.start}:{layers.stop}{step}"


def layers_in(name: str) -> range | None:
    """Returns the layers that are stacked in a parameter; None for one that stands by itself.

    Example:
      >>> layers_in("blocks.1:8:3.norm.scale"), layers_in("blocks.1.norm.scale")
      (range(1, 8, 3), None)
    """
    found = _STACKED.search(name)
    return None if found is None else range(*(int(number) for number in found[1].split(":")))


def names_of_layers(name: str) -> tuple[str, ...]:
    """Returns the name that a parameter has in each layer that it holds; its own where it holds none.

    Example:
      >>> names_of_layers("blocks.1:5:3.norm.scale"), names_of_layers("norm.scale")
      (('blocks.1.norm.scale', 'blocks.4.norm.scale'), ('norm.scale',))
    """
    layers = layers_in(name)
    return (name,) if layers is None else tuple(_STACKED.sub(str(layer), name) for layer in layers)


def axes_in_layer(name: str, axes: int) -> int:
    """Returns how many axes a parameter has in one layer, of the axes of its array.

    Example:
      >>> axes_in_layer("blocks.0:4.norm.scale", 2), axes_in_layer("embedding.tokens", 2)
      (1, 2)
    """
    return axes if layers_in(name) is None else axes - 1


def one_by_one(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Returns arrays by name in which each layer has its own.

    Example:
      >>> one_by_one({"blocks.0:2.scale": np.array([1.0, 2.0]), "bias": np.zeros(3)})["blocks.1.scale"]
      np.float64(2.0)
    """
    return {
        own: array if layers_in(name) is None else array[place]
        for name, array in arrays.items()
        for place, own in enumerate(names_of_layers(name))
    }


def stacked_as(
    names: Iterable[str], arrays: Mapping[str, Any], stack: Callable[[list[Any]], Any] = np.stack
) -> dict[str, Any]:
    """Returns arrays of single layers under these names, stacked where a name says so.

    Names are left out whose arrays are not all there.

    Example:
      >>> stacked_as(["blocks.0:2.scale", "bias"], {"blocks.0.scale": 1.0, "blocks.1.scale": 2.0})
      {'blocks.0:2.scale': array([1., 2.])}
    """
    held = {name: [arrays.get(own) for own in names_of_layers(name)] for name in names}
    return {
        name: own[0] if layers_in(name) is None else stack(own)
        for name, own in held.items()
        if not any(array is None for array in own)
    }


_STACKED = re.compile(r"(?<![^.])(\d+:\d+(?::\d+)?)(?![^.])")
"""The part of a name that stands for several layers."""
