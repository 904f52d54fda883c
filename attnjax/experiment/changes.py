"""Changes of a config: fields by dotted name, and their new values."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from attnjax.config import InputError, followed
from attnjax.experiment.registry import nearest
from attnjax.experiment.serialize import decode_value, encode_value, field_types

Changes = dict[str, Any]
"""Fields of a config and their new values, by dotted name."""


def with_changes(config: Any, changes: Mapping[str, Any], label: str = "the sweep") -> Any:
    """Returns the config with some fields changed, by dotted name; it checks itself as it is made.

    Args:
      config: a frozen dataclass.
      changes: new values, in the types of their fields.
      label: the subject of an error.

    Raises:
      InputError: an unknown field, a value of the wrong type, and what the config itself refuses.

    Example:
      >>> from attnjax.train.config import TrainConfig
      >>> with_changes(TrainConfig(), {"steps": 10, "warmup_steps": 2}).steps
      10
      >>> with_changes(TrainConfig(), {"steps": 50}).warmup_steps  # Of 100 by default.
      5
    """
    return replaced(config, typed(config, changes, label))


def typed(config: Any, changes: Mapping[str, Any], label: str = "the sweep") -> Changes:
    """Returns the changes with every value in its field's own type (0 in a field of floats is 0.0)."""
    found = {}
    for name, value in changes.items():
        annotation = field_type(config, name, label)
        found[name] = decode_value(annotation, encode_value(annotation, value, name), name)
    return found


def replaced(config: Any, changes: Mapping[str, Any]) -> Any:
    """Returns the config with typed changes.

    Each dataclass is made once, with all of its changes: half of them might not fit together.
    """
    own: Changes = {}
    inner: dict[str, Changes] = defaultdict(dict)
    for name, value in changes.items():
        field, _, rest = name.partition(".")
        if rest:
            inner[field][rest] = value
        else:
            own[field] = value
    parts = {field: replaced(getattr(config, field), below) for field, below in inner.items()}
    return dataclasses.replace(config, **followed(config, own), **parts)


def field_type(config: Any, name: str, label: str) -> Any:
    """Returns the annotation of a field, by dotted name. Raises InputError with the nearest for no field."""
    annotations = dict(field_types(type(config)))
    if name not in annotations:
        raise InputError(f"{label}: unknown field {name!r}{nearest(name, annotations)}")
    return annotations[name]
