"""Calls of functions that others wrote, with those of the known arguments that these take."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from attnjax.nn.taps import Sites


def taken(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the given arguments that a function, or the constructor of a class, takes.

    What a constructor takes as **settings is what that of its base takes.

    Example:
      >>> taken(lambda size, *, offset=0: None, {"offset": 3, "causal": True})
      {'offset': 3}
    """
    names: set[str] = set()
    for called in _called(function):
        parameters = inspect.signature(called).parameters
        names |= set(parameters)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return {name: x for name, x in given.items() if name in names}
    return dict(given)


def _called(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Returns the function, or the constructors of a class and of its bases in the order of their calls."""
    if not isinstance(function, type):
        return [function]
    # The signature of a module's class is that of its metaclass.
    return [vars(base)["__init__"] for base in function.__mro__[:-1] if "__init__" in vars(base)]


def require_together(layer: Any, context: Any, cache: Any, **weighing: Any) -> None:
    """Raises ValueError for arguments of a layer's call that do not go together.

    Args:
      layer: an attention layer.
      context: the tokens to attend to.
      cache: earlier tokens of the same sequence.
      weighing: arguments that only a layer with weights takes, by name.
    """
    if cache is not None and context is not None:
        raise ValueError(
            "cache with context: a cache is for self-attention; a context can be `project`ed once"
        )
    for name, given in weighing.items():
        if given is not None and not (layer.has_weights or isinstance(given, Sites)):
            raise ValueError(f"{name} is given: {layer.mechanism} takes none, it has no weights")
