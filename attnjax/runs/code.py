"""The user's code behind an experiment: its file, and the modules of theirs that it imports.

They are found by reading the imports, those inside functions too, and theirs in turn; nothing is imported. Of
the user are modules in the experiment's folder, and others that neither attnjax nor an installed package
brings. A module that is imported by a name made at run time is not seen.
"""

import ast
import hashlib
import importlib.util
import linecache
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple

from attnjax.experiment.registry import Experiment

Hashes = dict[str, dict[str, str]]
"""By module: sha256 of its bytes ("file"), and of its syntax without comments and docstrings ("code")."""

# Their versions are in the provenance, also where they are installed from a checkout.
LIBRARIES = {"attnjax", "jax", "jaxlib", "flax", "optax", "orbax", "numpy", "tokenizers"}


class Module(NamedTuple):
    """A dotted name and the file it stands for."""

    name: str
    file: Path


def hashes(experiment: Experiment) -> Hashes:
    """Returns hashes of the present code of each of the user's modules, by dotted name."""
    found: Hashes = {}
    for module in modules(experiment):
        text = _text(module.file)
        own = {"file": hashlib.sha256(text).hexdigest(), "code": hashlib.sha256(_code(text)).hexdigest()}
        found[module.name] = own
    return found


def changes(before: Hashes, now: Hashes, experiment: Experiment) -> list[str]:
    """One line for each module whose code is another; comments and docstrings may differ."""
    if before == now:
        return []
    files = {module.name: module.file for module in modules(experiment)}
    lines = []
    for name in sorted({*before, *now}):
        if name not in now:
            lines.append(f"module {name} is no longer imported")
        elif name not in before:
            lines.append(f"{files[name]} is new")
        # One of the two is enough: how a syntax tree is written depends on Python's version.
        elif before[name]["file"] != now[name]["file"] and before[name]["code"] != now[name]["code"]:
            lines.append(f"{files[name]} has changed")
    return lines


def modules(experiment: Experiment) -> list[Module]:
    """The experiment's file first, then the modules of the user's that it imports, however indirectly."""
    package = getattr(sys.modules.get(experiment.make.__module__), "__package__", None)
    # Each execution of a notebook's cell has another "file".
    stem = experiment.file.stem if experiment.file.is_file() else experiment.name
    first = Module(f"{package}.{stem}" if package else stem, experiment.file)
    found, waiting = {first.file: first}, [first]
    while waiting:
        for module in _imported(waiting.pop(), experiment.file.parent):
            if module.file not in found:
                found[module.file] = module
                waiting.append(module)
    return list(found.values())


def _imported(module: Module, tree: Path) -> Iterator[Module]:
    """The user's modules that one imports itself, packages around them included."""
    try:
        nodes = list(ast.walk(ast.parse(_text(module.file))))
    except (SyntaxError, ValueError):
        return  # Whoever imports it will say so.
    package = module.name if module.file.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _along(alias.name, tree)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:  # What is imported from a package may be a module of it.
                yield from _along(f"{base}.{alias.name}", tree)


def _along(name: str, tree: Path) -> Iterator[Module]:
    """The user's modules among `a`, `a.b` and `a.b.c`, as far as they are modules at all."""
    first, *rest = name.split(".")
    if first in LIBRARIES or first in sys.stdlib_module_names:
        return
    spec, path = _top(first), first
    while spec is not None:
        if spec.has_location and spec.origin and _of_the_user(Path(spec.origin), tree):
            yield Module(path, Path(spec.origin).resolve())
        if not rest or spec.submodule_search_locations is None:
            return
        path = f"{path}.{rest.pop(0)}"
        spec = PathFinder.find_spec(path, spec.submodule_search_locations)


def _top(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name) if name else None
    except ValueError:
        return None  # A module that was made by hand.


def _of_the_user(file: Path, tree: Path) -> bool:
    file = file.resolve()
    # Installed packages may lie in the experiment's folder, and the experiment among installed packages.
    parts = file.relative_to(tree).parts if file.is_relative_to(tree) else file.parts
    return not {"site-packages", "dist-packages"} & set(parts)


def _text(file: Path) -> bytes:
    """The file's bytes; of a notebook's cell, the lines that Python keeps for tracebacks."""
    try:
        return file.read_bytes()
    except OSError:
        return "".join(linecache.getlines(str(file))).encode()


def _code(text: bytes) -> bytes:
    """The syntax without comments, layout and texts that stand alone, such as docstrings."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return text
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [n for n in body if not _stands_alone(n)]  # type: ignore[attr-defined]
    return ast.dump(tree).encode()


def _stands_alone(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
