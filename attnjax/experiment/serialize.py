"""A config as JSON and back, typed, without loss.

The annotations decide the form: a `float` field that holds 0 is written as 0.0, a `Path` as a string, a tuple
as a list, a member of an `Enum` as its name. What is not plain data (a callable, an array, an object known
only by its repr) is refused by name.
"""

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attnjax.config import InputError

WritePath = Callable[[str, Path], Any]
SEQUENCES = (tuple, list)
"""The kinds of fields that hold several values."""
_ANYTHING = bool | int | float | str | None
"""The type of an element of a list or tuple whose annotation does not name one."""


def encode(config: Any, *, write_path: WritePath = lambda name, path: str(path)) -> dict[str, Any]:
    """The JSON form of a config dataclass.

    `write_path(name, path)` decides what stands for a `Path`: identity puts the file's content there.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Config:
    ...     file: Path
    ...     sizes: tuple[int, ...] = (1, 2)
    ...     rate: float = 0
    >>> encode(Config(Path("a.tsv")))
    {'file': 'a.tsv', 'sizes': [1, 2], 'rate': 0.0}

    Raises InputError, naming the field, for a value that is not data or not of its annotated type.
    """
    return _encode(config, type(config), "", write_path)


def decode(cls: type, data: Any) -> Any:
    """The config of dataclass `cls` whose JSON form is `data`; fields that `data` lacks take their defaults.

    Raises InputError for a field that `cls` does not have and for a value of the wrong type.
    """
    return _decode(data, cls, "")


def encode_value(annotation: Any, value: Any, name: str) -> Any:
    """The JSON form of one field's value; errors call the field `name`. Raises as `encode` does."""
    return _encode(value, annotation, name, lambda _, path: str(path))


def decode_value(annotation: Any, data: Any, name: str) -> Any:
    """The value of one field whose JSON form is `data`. Raises as `decode` does.

    >>> decode_value(float, 3, "train.dropout")
    3.0
    """
    return _decode(data, annotation, name)


def flatten(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, under dotted names.

    >>> flatten({"model": {"dim": 8}, "seed": 0})
    {'model.dim': 8, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def field_types(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted name and annotation of every leaf field of a config dataclass."""
    for name, annotation in fields_of(cls).items():
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            yield from field_types(annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, annotation


def fields_of(cls: type) -> dict[str, Any]:
    """The annotation of each field of a dataclass that its constructor takes."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def type_name(annotation: Any) -> str:
    """Returns the name of an annotation for error messages."""
    if annotation is None or annotation is types.NoneType:
        return "None"
    if annotation is bool:
        return "True or False"
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(annotation)))
    if _is_enum(annotation):
        return "one of " + ", ".join(annotation.__members__)
    if _is_union(annotation):
        return " or ".join(type_name(option) for option in typing.get_args(annotation))
    return (
        getattr(annotation, "__name__", str(annotation))
        if not typing.get_args(annotation)
        else str(annotation)
    )


def holds_several(annotation: Any) -> bool:
    """Returns True for the annotation of a tuple or a list."""
    return (typing.get_origin(annotation) or annotation) in SEQUENCES


class _Mismatch(InputError):
    """A value that is not of its annotated type."""


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _is_enum(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, enum.Enum)


def _refuse(name: str, value: Any, annotation: Any) -> typing.NoReturn:
    if callable(value):
        shown = f"the callable {getattr(value, '__qualname__', type(value).__qualname__)}"
    elif value is None or isinstance(value, str | int | float | list | tuple | dict | Path):
        shown = repr(value)
    else:
        shown = f"an object of type {type(value).__qualname__}"
    raise _Mismatch(f"{name or 'config'} is {shown}: expected {type_name(annotation)}")


def _encode(value: Any, annotation: Any, name: str, write_path: WritePath) -> Any:
    if _is_union(annotation):
        return _first_match(value, annotation, name, lambda v, a, n: _encode(v, a, n, write_path))
    if dataclasses.is_dataclass(annotation):
        if type(value) is not annotation:
            _refuse(name, value, annotation)
        return {
            key: _encode(getattr(value, key), hint, _join(name, key), write_path)
            for key, hint in fields_of(annotation).items()
        }
    if annotation is Path and isinstance(value, Path):
        return write_path(name, value)
    if holds_several(annotation) and type(value) is (typing.get_origin(annotation) or annotation):
        hints = _element_types(annotation, len(value), name, value)
        pairs = enumerate(zip(value, hints, strict=True))
        return [_encode(item, hint, f"{name}[{i}]", write_path) for i, (item, hint) in pairs]
    if _is_enum(annotation) and type(value) is annotation:
        return value.name
    return _scalar(value, annotation, name)


def _decode(data: Any, annotation: Any, name: str) -> Any:
    if _is_union(annotation):
        return _first_match(data, annotation, name, _decode)
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        if not isinstance(data, dict):
            _refuse(name, data, annotation)
        hints = fields_of(annotation)
        if unknown := data.keys() - hints.keys():
            raise InputError(f"{_join(name, min(unknown))} is not a field of {annotation.__qualname__}")
        return annotation(
            **{key: _decode(value, hints[key], _join(name, key)) for key, value in data.items()}
        )
    if annotation is Path and isinstance(data, str):
        return Path(data)
    if holds_several(annotation) and isinstance(data, list):
        pairs = enumerate(zip(data, _element_types(annotation, len(data), name, data), strict=True))
        make = typing.get_origin(annotation) or annotation
        return make(_decode(item, hint, f"{name}[{i}]") for i, (item, hint) in pairs)
    if _is_enum(annotation) and isinstance(data, str) and data in annotation.__members__:
        return annotation[data]
    return _scalar(data, annotation, name)


def _join(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def _element_types(annotation: Any, count: int, name: str, value: Any) -> tuple[Any, ...]:
    arguments = typing.get_args(annotation)
    if not arguments:
        return (_ANYTHING,) * count
    if typing.get_origin(annotation) is list:
        return arguments * count
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return (arguments[0],) * count
    if len(arguments) != count:
        _refuse(name, value, annotation)
    return arguments


def _first_match(value: Any, annotation: Any, name: str, convert: Callable[[Any, Any, str], Any]) -> Any:
    for option in typing.get_args(annotation):
        if dataclasses.is_dataclass(option):
            # Outside of the `try`: a dataclass's complaint about one of its fields must reach the user.
            if isinstance(value, dict) or type(value) is option:
                return convert(value, option, name)
            continue
        try:
            return convert(value, option, name)
        except _Mismatch:
            continue
    _refuse(name, value, annotation)


def _scalar(value: Any, annotation: Any, name: str) -> Any:
    if annotation is types.NoneType and value is None:
        return None
    if typing.get_origin(annotation) is typing.Literal:
        if any(value == option and type(value) is type(option) for option in typing.get_args(annotation)):
            return value
    elif annotation is float and type(value) in (int, float):
        if not math.isfinite(value):
            raise InputError(f"{name} is {value}: expected a finite number")
        return float(value)
    elif annotation in (bool, int, str) and type(value) is annotation:
        return value
    _refuse(name, value, annotation)
