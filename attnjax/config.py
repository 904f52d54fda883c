"""The parts that all config dataclasses share. Free of jax, so that the command line reads them at once.

A config field is *static* (shapes and structure: it decides what is compiled) unless it is declared with
`traced(default)`: then it is a scalar that enters the compiled step as an array and never causes a recompile.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH_AXES = ("data", "fsdp")
"""The axes of a mesh of devices that batches are split over."""


class InputError(ValueError):
    """An input of the user that cannot be used: the command line prints it as one line and exits with 2."""


class RunFailed(Exception):
    """Training itself failed, as when it diverged; the message says what to do."""


def traced(default: Any) -> Any:
    """A dataclass field that enters the compiled step as an array.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Config:
    ...     heads: int = 4
    ...     dropout: float = traced(0.1)
    >>> traced_fields(Config())
    {'dropout': 0.1}
    """
    return dataclasses.field(default=default, metadata={"traced": True})


def traced_fields(config: Any) -> dict[str, Any]:
    """The traced fields of one (not nested) config dataclass, by name."""
    return {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.metadata.get("traced")}


def loss_fields(config: Any) -> dict[str, float]:
    """Returns the traced fields of an experiment's config outside of its part `train`, by field name.

    The loss of its task reads them, as those of `train` are read by the training step.

    Raises:
      InputError: two parts have a traced field of one name.

    Example:
      >>> @dataclasses.dataclass(frozen=True)
      ... class Loss:
      ...     label_smoothing: float = traced(0.1)
      >>> @dataclasses.dataclass(frozen=True)
      ... class Config:
      ...     loss: Loss = Loss()
      >>> loss_fields(Config())
      {'label_smoothing': 0.1}
    """
    found = traced_fields(config)
    for field in dataclasses.fields(config):
        part = getattr(config, field.name)
        if field.name != "train" and dataclasses.is_dataclass(part):
            inner = loss_fields(part)
            if twice := inner.keys() & found.keys():
                raise InputError(f"two traced fields of {type(config).__name__} are called {min(twice)!r}")
            found |= inner
    return found


def following(default: Any, other: str, rule: Callable[[Any, Any], Any]) -> Any:
    """A dataclass field whose default goes along when only the field `other` beside it is changed.

    `rule(default, new value of other)` gives what it then is.
    """
    return dataclasses.field(default=default, metadata={"follows": (other, rule)})


def followed(config: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """Returns changes of one config dataclass with those of the fields that follow them.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Config:
    ...     steps: int = 1000
    ...     warmup: int = following(100, "steps", min)
    >>> followed(Config(), {"steps": 40}), followed(Config(), {"steps": 40, "warmup": 7})
    ({'steps': 40, 'warmup': 40}, {'steps': 40, 'warmup': 7})
    """
    found = dict(changes)
    for field in dataclasses.fields(config):
        other, rule = field.metadata.get("follows", (None, None))
        if other in changes and field.name not in changes:
            found[field.name] = rule(getattr(config, field.name), changes[other])
    return found


def require(condition: bool, message: str) -> None:
    """Raises InputError(message) unless the condition holds."""
    if not condition:
        raise InputError(message)


def require_seed(name: str, value: Any) -> None:
    """Raises InputError unless the value is an int in [0, 2**32): jax's keys hold no more bits of a seed."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    require(whole and 0 <= value < 2**32, f"{name} is {value!r}: it must be a whole number in [0, 2**32)")


def fetched_by(path: Path) -> str | None:
    """Returns the command that makes what lies at a path, where that is a place of ours; else None.

    >>> fetched_by(user_cache() / "corpora" / "film.tsv")
    'attnjax data fetch film'
    """
    if path.is_relative_to(assets()) and path != assets():
        return f"scripts/assets.sh {path.relative_to(assets()).parts[0]}"
    corpora = user_cache() / "corpora"
    if path.is_relative_to(corpora) and path != corpora:
        return f"attnjax data fetch {Path(path.relative_to(corpora).parts[0]).stem}"
    return None


def assets() -> Path:
    """Returns the folder of pretrained models that come inside packages, which scripts/assets.sh fetches."""
    return Path(os.environ.get("ATTNJAX_ASSETS") or user_cache() / "assets")


def user_cache() -> Path:
    """Returns the folder of the user's for what can be made again: compiled programs and generated data."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attnjax"
