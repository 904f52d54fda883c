"""Mechanisms of one's own: a decorator for a function or a layer, in a file of experiments or in a package.

A package names the module that registers them as an entry point of the group `attnjax.mechanisms`.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from attnjax.config import require
from attnjax.mechanisms.base import Layer, Mechanism, Recipe, Recurrence
from attnjax.mechanisms.catalogue import register
from attnjax.mechanisms.option import Option, OptionKind

Of = Literal["attention", "mask", "comparison", "score", "normalizer", "gate", "recurrence", "layer"]
Made = TypeVar("Made", bound=Callable[..., Any])

_ROWS: dict[str, tuple[type[Mechanism], dict[str, Any]]] = {
    "attention": (Mechanism, {"has_weights": False}),
    "mask": (Recipe, {"role": "mask"}),
    "comparison": (Recipe, {"role": "comparison"}),
    "score": (Recipe, {"role": "score"}),
    "normalizer": (Recipe, {"role": "normalizer"}),
    "gate": (Recipe, {"role": "gate"}),
    "recurrence": (Recurrence, {}),
    "layer": (Layer, {"has_weights": False}),
}
_KINDS: dict[Any, OptionKind] = {bool: "bool", int: "int", float: "float", tuple: "ints"}
_OF_MODEL = ("layer", "layers", "max_length")


def mechanism(of: Of, *, name: str | None = None, **declared: Any) -> Callable[[Made], Made]:
    """Registers a function or a class as a mechanism, which configs, sweeps and commands then know.

    Args:
      of: what it is, and how it is called:
        "attention": f(query [*B, T, N, H], key [*B, S, K, H], value [*B, S, K, V], *, mask) gives
          [*B, T, N, V], in the place of `attnjax.attention`; mask is a `Mask` or None.
        "mask", "comparison", "score", "normalizer": f() gives a `Mask`, a `Comparison`, a `Score` or a
          `Normalizer`. It is given `offset`, `causal`, `queries`, `keys` and `heads` where it has parameters
          of these names. A class of a module is made with `dim`, `heads`, `kv_heads`, `head_dim`, `rngs` and
          the options, and called as such a function.
        "gate": f(heads [*B, T, N, V], x [*B, T, D]) gives heads, before the last projection; or a class of a
          module, made as above with `value_dim` too and called so.
        "recurrence": f(query, key, value, *, initial_state, return_state, lengths, segment_ids) and what
          `gates` declares, as `linear_attention`; gives the output, or with return_state (output, state).
        "layer": a class of a module, made as `nn.Attention` and called as its kinds are, with
          `empty_cache`.
      name: the name in a config; by default that of the function.
      declared: fields of its declaration (`Mechanism`, `Recipe`, `Recurrence`), such as paper, cost, options,
        causal_only, two_sided_only, packs, streaming, takes, gates. By default the formula is the first line
        of the docstring, and options are the parameters with a number, a truth value or numbers as default.

    Raises:
      InputError: another mechanism has the name, or `of` is none of these.

    >>> @mechanism("mask", name="every_other")
    ... def every_other(step: int = 2, *, offset=0):
    ...     "Token i sees every other token from itself."
    >>> from attnjax.mechanisms import read
    >>> print(read("every_other(step=3)")[0])
    every_other(step=3)
    """
    require(of in _ROWS, f"mechanism of {of!r}: expected one of {', '.join(_ROWS)}")

    def decorate(made: Made) -> Made:
        kind, fields = _ROWS[of]
        is_class = isinstance(made, type)
        fields = fields | ({"of_layer": True} if is_class and kind is Recipe else {})
        fields |= {"formula": (inspect.getdoc(made) or "").partition("\n")[0], "options": _options(made)}
        register(kind(name=name or made.__name__, target=made, place=_place(made), **fields | declared))
        return made

    return decorate


def _options(made: Callable[..., Any]) -> dict[str, Option]:
    """The parameters whose defaults are what text can hold."""
    called = made.__init__ if isinstance(made, type) else made  # type: ignore[misc]
    found = {}
    for parameter in inspect.signature(called).parameters.values():
        given = parameter.name in ("offset", "causal", "queries", "keys", "heads", "scale")
        kind = _KINDS.get(type(parameter.default)) or _annotated(parameter)
        if kind is not None and not given and parameter.default is not parameter.empty:
            of_model: Any = parameter.name if parameter.name in _OF_MODEL else None
            found[parameter.name] = Option(parameter.default, "", kind, of_model=of_model)
    return found


def _annotated(parameter: inspect.Parameter) -> OptionKind | None:
    """The kind of a number that may be None."""
    if parameter.default is not None or get_origin(parameter.annotation) not in (Union, UnionType):
        return None
    kinds = [_KINDS.get(x) for x in get_args(parameter.annotation) if x is not NoneType]
    return kinds[0] if len(kinds) == 1 else None


def _place(made: Callable[..., Any]) -> str:
    """The file and line."""
    try:
        return f"{Path(inspect.getfile(made)).resolve()}:{inspect.getsourcelines(made)[1]}"
    except (OSError, TypeError):
        return f"<{made.__module__}>"
