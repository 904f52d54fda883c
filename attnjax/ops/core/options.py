"""Keyword arguments that several functions share, declared once."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, get_type_hints

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def spelled_out(
    options: type, defaults: Callable[..., Any]
) -> Callable[[Callable[Arguments, Answer]], Callable[Arguments, Answer]]:
    """Decorates a function of `**options: Unpack[options]`: its signature, and so `help`, spells them out.

    Args:
      options: TypedDict of the keyword arguments.
      defaults: the function that takes them, whose default values are theirs.

    Returns:
      A decorator. What it gives raises TypeError, in its own name, for other arguments.
    """
    types, given = get_type_hints(options), inspect.signature(defaults).parameters
    keywords = [given[name].replace(annotation=types[name]) for name in given if name in types]

    def decorate(fn: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
        own = inspect.signature(fn)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        signature = own.replace(parameters=[*kept, *keywords])

        @functools.wraps(fn)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{fn.__name__} {error}") from None
            return fn(*args, **kwargs)

        call.__signature__ = signature  # type: ignore[attr-defined]
        return call

    return decorate
