"""Packages whose names are imported on first use: importing the package loads nothing."""

import ast
import importlib
import linecache
import sys
from collections.abc import Callable
from typing import Any


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Returns `__getattr__`, `__dir__` and `__all__` of a package that imports its names on first use.

    The names are those that its source imports under `if TYPE_CHECKING:`, where a type checker finds them, so
    that there is one list. The package calls it in the `else` of that block.

    Args:
      package: its `__name__`.

    Returns:
      The three, to be assigned under these names.

    Raises:
      ImportError: the package's source holds no such block.
    """
    module = sys.modules[package]
    source = "".join(linecache.getlines(str(module.__file__), vars(module)))  # From an archive too.
    homes = _imported(ast.parse(source))
    if not homes:
        raise ImportError(f"{package} imports nothing under `if TYPE_CHECKING:`: expected its public names")

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(module, name, value)
        return value

    return __getattr__, lambda: sorted({*vars(module), *homes}), sorted(homes)


def _imported(source: ast.Module) -> dict[str, str]:
    """Returns the module of each name that is imported under `if TYPE_CHECKING:`."""
    blocks = (x for x in source.body if isinstance(x, ast.If) and ast.unparse(x.test) == "TYPE_CHECKING")
    imports = (x for block in blocks for x in block.body if isinstance(x, ast.ImportFrom) and x.module)
    return {alias.name: str(x.module) for x in imports for alias in x.names}
