"""Families of pretrained models: how a config.json and the names on disk become a model here, and back."""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
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
      name: the `model_type` of its config.json; the file in `families` has that name, with _ for each -.
      read: from the keys of config.json and the tensors, whose values it need not look at, to the config of a
        model of ours, without dtypes, and the other arguments of its class, such as vocab.
      write: from a model to the keys that `read` asks for.
      table: the entries of a model.
      model: its class, or what else makes it of a config, those arguments and rngs.
      peer: the class in transformers that says the same.
      prefix: of names on disk, which files of a model without head lack.
      aliases: other names that stand on disk, as patterns and what the table has in their place.
      ties: tensors that may be copies of others on disk, with the parameter that both are.
      ignored: patterns of names on disk that are no parameters, such as tables that are computed.
    """

    name: str
    read: Callable[[Keys, Tensors], tuple[Any, dict[str, Any]]]
    write: Callable[[Any], dict[str, Any]]
    table: Callable[[Any], list[Entry]]
    model: Callable[..., nnx.Module]
    peer: str
    prefix: str = ""
    aliases: tuple[tuple[str, str], ...] = ()
    ties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ignored: tuple[str, ...] = ()

    def in_table(self, names: Iterable[str]) -> dict[str, str]:
        """Returns the names of the table for those on disk.

        Example:
          >>> find("gpt2", "").in_table(["wte.weight"])
          {'wte.weight': 'transformer.wte.weight'}
        """
        found = {name: name for name in names}
        for pattern, replacement in self.aliases:
            found = {old: re.sub(pattern, replacement, new) for old, new in found.items()}
        if any(new.startswith(self.prefix) for new in found.values()):
            return found
        return {old: new if new in self.ties else self.prefix + new for old, new in found.items()}


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
    module = name.replace("-", "_")  # As in deberta-v2.
    if module not in names():
        known = f"expected one of {', '.join(names())}"
        raise InputError(f"{label} has model_type = {name!r}: {known}{nearest(name, names())}")
    return importlib.import_module(f"{families.__name__}.{module}").FAMILY
