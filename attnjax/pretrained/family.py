"""Families of pretrained models: how a config.json and the names on disk become a model here, and back."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from flax import nnx

from attnjax.config import InputError
from attnjax.experiment.registry import nearest
from attnjax.pretrained import families
from attnjax.pretrained.keys import Keys
from attnjax.pretrained.table import Entry
from attnjax.pretrained.tensors import Tensors


@dataclass(frozen=True)
class Family:
    """A family of pretrained models.

    Attributes:
      name: the `model_type` of its config.json; the file in `families` has that name.
      read: from the keys of config.json and the tensors, whose values it need not look at, to the config of a
        model of ours, without dtypes, and the other arguments of its class, such as vocab.
      write: from a model to the keys that `read` asks for.
      model: chooses the class of the model by its config.
      table: the entries of a model.
      prefix: of names on disk, which files of a model without head lack.
      ties: tensors that may be copies of others on disk, with the parameter that both are.
      ignored: patterns of names on disk that are no parameters, such as tables that are computed.
      peer: the class in transformers that says the same.
    """

    name: str
    read: Callable[[Keys, Tensors], tuple[Any, dict[str, Any]]]
    write: Callable[[Any], dict[str, Any]]
    table: Callable[[Any], list[Entry]]
    model: Callable[..., nnx.Module]
    peer: str
    prefix: str = ""
    ties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ignored: tuple[str, ...] = ()


def names() -> list[str]:
    """Returns the families that there are.

    Example:
      >>> "llama" in names()
      True
    """
    return sorted(module.name for module in pkgutil.iter_modules(families.__path__) if module.name[0] != "_")


def find(name: str, label: str) -> Family:
    """Returns the family of a `model_type`.

    Raises:
      InputError: There is none of that name.
    """
    if name not in names():
        known = f"expected one of {', '.join(names())}"
        raise InputError(f"{label} has model_type = {name!r}: {known}{nearest(str(name), names())}")
    return importlib.import_module(f"{families.__name__}.{name}").FAMILY
