"""Calls of functions that others wrote, with those of the known arguments that these take."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def taken(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the given arguments that a function, or the constructor of a class, takes.

    Example:
      >>> taken(lambda size, *, offset=0: None, {"offset": 3, "causal": True})
      {'offset': 3}
    """
    # The signature of a module's class is that of its metaclass.
    called = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    parameters = inspect.signature(called).parameters
    everything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {name: x for name, x in given.items() if everything or name in parameters}
