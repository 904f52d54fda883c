"""Command-line overrides of a config (`--model.heads 8`), generated from its dataclasses by tyro.

The only file that touches tyro. Its boxed errors become one line; unknown fields get the nearest names.
"""

import contextlib
import dataclasses
import io
import itertools
import os
import re
from collections.abc import Sequence
from typing import Any, get_args
from unittest import mock

from attnjax.config import InputError, followed
from attnjax.experiment.registry import nearest
from attnjax.experiment.serialize import field_types, holds_several, type_name


def apply(config: Any, arguments: Sequence[str], *, program: str) -> Any:
    """`config` with the overrides in `arguments`.

    Raises InputError, one line, for an unknown field, a value of the wrong type, and what the config itself
    refuses. `--help` prints the fields and raises SystemExit(0).
    """
    import tyro

    message = io.StringIO()
    asks_help = "--help" in arguments or "-h" in arguments
    # tyro wraps its error box at the terminal's width.
    wide = contextlib.nullcontext() if asks_help else mock.patch.dict(os.environ, COLUMNS="10000")
    try:
        with contextlib.redirect_stderr(message), wide:
            changed, rest = tyro.cli(
                type(config),
                args=_with_values(arguments, type(config)),
                default=_followed(config, arguments),
                prog=program,
                description=type(config).__doc__,
                return_unknown_args=True,
                use_underscores=True,
                config=(tyro.conf.FlagConversionOff,),
                registry=_registry(),
            )
    except InputError as error:
        raise InputError(str(error)) from None
    except SystemExit as leaving:
        if not leaving.code:
            raise
        raise InputError(_reason(leaving, message.getvalue(), type(config), arguments)) from None
    if rest:
        raise InputError(_unknown(rest[0], type(config)))
    return changed


def _with_values(arguments: Sequence[str], cls: type) -> list[str]:
    """The arguments with True behind each flag of a True or False field that stands alone.

    `--model.no_bias` is `--model.bias False`.
    """
    fields = {f"--{name}": annotation for name, annotation in field_types(cls)}
    flags = {
        name
        for name, annotation in fields.items()
        if bool in (annotation, *get_args(annotation)) and not holds_several(annotation)
    }
    negated = {re.sub(r"(\w+)$", r"no_\1", name): name for name in flags}
    given = []
    for argument, following in itertools.zip_longest(arguments, arguments[1:], fillvalue="--"):
        flag = f"--{argument[2:].replace('-', '_')}"
        alone = following.startswith("--")
        if alone and flag in negated and flag not in fields:
            given += [negated[flag], "False"]
        else:
            given += [argument, "True"] if alone and flag in flags else [argument]
    return given


def _registry() -> Any:
    """Returns the rules of tyro, with true and false for True and False."""
    import tyro

    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def boolean(info: Any) -> Any:
        if info.type is not bool:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="{True,False}",
            instance_from_str=lambda texts: {"true": True, "false": False}[texts[0].lower()],
            is_instance=lambda value: isinstance(value, bool),
            str_from_instance=lambda value: [str(value)],
            choices=("True", "False", "true", "false"),
        )

    return registry


def _followed(config: Any, arguments: Sequence[str], prefix: str = "") -> Any:
    """The config with the whole numbers of the command line, and what follows them instead of defaults."""
    given = {}
    for field in dataclasses.fields(config):
        text = _given(f"--{prefix}{field.name}", arguments) or ""
        if dataclasses.is_dataclass(inner := getattr(config, field.name)):
            given[field.name] = _followed(inner, arguments, f"{prefix}{field.name}.")
        elif text.isdecimal() and type(inner) is int:
            given[field.name] = int(text)
    try:
        return dataclasses.replace(config, **followed(config, given))
    except ValueError:
        return config  # What it refuses is told when all of the command line is read.


def _unknown(argument: str, cls: type) -> str:
    if not argument.startswith("--"):
        return f"unexpected argument {argument!r}: overrides look like --train.steps 100"
    flag = argument.partition("=")[0]
    return f"unknown field {flag}" + nearest(flag, [f"--{name}" for name, _ in field_types(cls)])


def _reason(leaving: BaseException, box: str, cls: type, arguments: Sequence[str]) -> str:
    """One line that says what tyro refused: the config's own words where it has some."""
    cause: BaseException | None = leaving
    while cause is not None:
        if isinstance(cause, InputError):
            return str(cause)
        cause = cause.__context__
    text = _first_paragraph(box)
    types = dict(field_types(cls))
    for name in re.findall(r"--([\w.]+)", text):
        if name in types and (given := _given(f"--{name}", arguments)) is not None:
            several = any(map(holds_several, (types[name], *get_args(types[name]))))
            form = f" (as --{name} A B C)" if several else ""
            return f"--{name} is {given!r}: expected {type_name(types[name])}{form}"
    return text


def _first_paragraph(box: str) -> str:
    lines: list[str] = []
    for line in box.splitlines()[1:]:
        if line.startswith(("│ ─", "╰")):
            break
        lines.append(line.strip("│ "))
    return " ".join(lines) or box


def _given(flag: str, arguments: Sequence[str]) -> str | None:
    """Returns the value of the last `flag` on the command line, or None if it has none."""
    values: dict[str, list[str]] = {}
    current: list[str] = []
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            current = values[name.replace("-", "_")] = [value] if equals else []
        else:
            current.append(argument)
    return " ".join(values.get(flag.replace("-", "_"), [])) or None
