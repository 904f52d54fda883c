"""The registry of experiments: a decorator, and the places in which experiment files are found.

The places are this project's folder, the entry points of installed packages and a folder of the user.

The registry is the only global state of attnjax. Reading it imports no jax: experiment files keep jax inside
their `task` method.
"""

import dataclasses
import difflib
import importlib.util
import inspect
import sys
import traceback
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar, overload

import attnjax
from attnjax.config import InputError
from attnjax.mechanisms.catalogue import LOADED_FILE, load_entry_points

ENTRY_POINT_GROUP = "attnjax.experiments"
RESERVED_FIELDS = {
    "experiments",
    "runs",
    "devices",
    "mesh",
    "rules",
    "sinks",
    "help",
    "fresh",
    "accept_changed_code",
    "weights",
}

Made = TypeVar("Made", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class Definition:
    """An object that an experiment file registers under a name: an experiment or a sweep."""

    kind: ClassVar[str]
    name: str
    make: Callable[[], Any]
    file: Path
    line: int

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.make) or "").partition("\n")[0]

    @property
    def place(self) -> str:
        """The file and the line of the definition."""
        return f"{self.file}:{self.line}"


@dataclasses.dataclass(frozen=True)
class Experiment(Definition):
    """One registered experiment: `make()` gives its default config."""

    kind = "experiment"

    @property
    def description(self) -> str:
        """The docstring of the experiment's file: the question, the command, what to expect, how long."""
        text = inspect.getdoc(sys.modules[self.make.__module__]) if self.file.is_file() else None
        return (text or inspect.getdoc(self.make) or "").strip()


Kind = TypeVar("Kind", bound=Definition)
_REGISTRY: dict[str, Definition] = {}
_LOADED: set[Path] = set()


@overload
def experiment(made: Made) -> Made: ...
@overload
def experiment(*, name: str) -> Callable[[Made], Made]: ...
def experiment(made: Any = None, *, name: str | None = None) -> Any:
    """Registers a frozen config dataclass, or a function that returns one (a named preset).

    The config has the fields `train: TrainConfig` and `seed: int` and a method `task(folder) -> Task`.
    Its name is the file's, in a notebook that of the class or function, unless `name=` gives another. Raises
    InputError for a name that is taken.
    """
    return (lambda made: _register(made, name)) if made is None else _register(made, name)


def _register(made: Made, name: str | None) -> Made:
    file, line = origin(made)
    register(Experiment(name or (file.stem if file.is_file() else made.__name__.lower()), made, file, line))
    return made


def origin(made: Callable[..., Any]) -> tuple[Path, int]:
    """The file and line where a class or function is defined; in a notebook, what Python calls its cell."""
    try:
        line = inspect.getsourcelines(made)[1]
    except (OSError, TypeError):
        line = 1
    try:
        file = Path(inspect.getfile(made))
    except (OSError, TypeError):  # Nothing is known of a cell's class, but of its methods.
        task = getattr(made, "task", None)
        file = Path(inspect.getfile(task) if inspect.isfunction(task) else f"<{made.__module__}>")
    return file.resolve() if file.is_file() else file, line


def register(definition: Definition) -> None:
    """Makes a definition known. Raises DuplicateError when another one has its name, of whatever kind."""
    known = _REGISTRY.get(definition.name)
    # `python experiments/x.py` defines it as __main__ and finds it again in the folder: one and the same.
    if known and _identity(known) != _identity(definition):
        kinds = definition.kind if known.kind == definition.kind else f"{known.kind} and {definition.kind}"
        raise DuplicateError(
            f"{kinds} {definition.name!r} is defined twice: {known.place} and {definition.place}"
        )
    _REGISTRY[definition.name] = definition


def _identity(definition: Definition) -> tuple[Any, ...]:
    # A cell that is run again has another file, or none.
    place = definition.file if definition.file.is_file() else definition.make.__module__
    return definition.kind, place, definition.make.__qualname__


class DuplicateError(InputError):
    """Two definitions claim one name."""


def discover(folder: Path | None = None) -> list[str]:
    """Loads this project's experiments, those in `folder` and installed ones; returns what failed to load.

    A broken file costs only its own experiments: it is one line here, naming file and line. Raises InputError
    for a duplicate name or a folder that does not exist.
    """
    problems = []
    for place in (_own_folder(), folder):
        if place is not None:
            problems += _load_folder(place)
    return problems + _load_entry_points() + load_entry_points()


def known() -> list[Experiment]:
    """Every experiment registered so far, by name."""
    return known_of(Experiment)


def known_of(kind: type[Kind]) -> list[Kind]:
    """Every definition of one kind registered so far, by name."""
    return [found for _, found in sorted(_REGISTRY.items()) if isinstance(found, kind)]


def find(name: str, problems: Iterable[str] = ()) -> Experiment:
    """The experiment called `name`. Raises InputError with the nearest names when there is none."""
    return find_of(Experiment, name, problems)


def find_of(kind: type[Kind], name: str, problems: Iterable[str] = ()) -> Kind:
    """The definition of one kind called `name`. Raises InputError with the nearest names if there is none."""
    found = _REGISTRY.get(name)
    if isinstance(found, kind):
        return found
    names = [known.name for known in known_of(kind)]
    hint = nearest(name, names) or f"; known: {', '.join(names) or 'none'}"
    if found is not None:
        hint = f": that is the name of the {found.kind} at {found.place}"
    broken = "".join(f"; not loaded: {problem}" for problem in problems)
    raise InputError(f"unknown {kind.kind} {name!r}{hint}{broken}")


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns the hint "; did you mean a or b?", or an empty text if no name is near."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def default_config(experiment: Experiment) -> Any:
    """The experiment's default config, checked to be what the runner needs."""
    config = experiment.make()
    if not dataclasses.is_dataclass(config):
        raise InputError(f"{experiment.place}: the config of {experiment.name} is not a dataclass")
    fields = {field.name for field in dataclasses.fields(config)}
    if not {"train", "seed"} <= fields or not callable(getattr(config, "task", None)):
        raise InputError(
            f"{experiment.place}: {experiment.name} needs fields train and seed and a method task(folder)"
        )
    if taken := fields & RESERVED_FIELDS:
        raise InputError(
            f"{experiment.place}: the field {min(taken)} clashes with `attnjax run --{min(taken)}`"
        )
    return config


def load_file(file: Path) -> None:
    """Imports one experiment file, once; whatever it raises comes through."""
    file = file.resolve()
    if file in _LOADED:
        return
    # Experiments of one folder may share a helper module, also when they import it late.
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    name = f"{LOADED_FILE}{file.stem}_{zlib.crc32(str(file).encode()):x}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    _LOADED.add(file)


def find_or_load(name: str, file: Path) -> Experiment:
    """Returns the experiment of this name, of `file` where it is not known yet. Raises InputError."""
    try:
        return find(name)
    except InputError as error:
        if not file.is_file():
            raise InputError(f"{error} (and {file}, where the run came from, is gone)") from None
    try:
        load_file(file)
    except Exception as error:
        raise InputError(f"{file} cannot be loaded: {type(error).__name__}: {error}") from None
    return find(name)


def load_files(files: Iterable[str]) -> None:
    """Loads the files of mechanisms; should one be gone or broken, the config says what it misses."""
    for file in files:
        with suppress(Exception):
            load_file(Path(file))


def _own_folder() -> Path | None:
    package = Path(attnjax.__file__).resolve().parent
    inside_wheel = package / "_experiments"
    if inside_wheel.is_dir():
        return inside_wheel
    # Beside an installed package, `experiments` would be somebody else's.
    checkout = package.parent
    return checkout / "experiments" if (checkout / "pyproject.toml").is_file() else None


def _load_folder(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise InputError(f"--experiments is {str(folder)!r}: there is no such folder")
    problems = []
    for file in sorted(folder.glob("[!_.]*.py")):
        try:
            load_file(file)
        except DuplicateError:
            raise
        except Exception as error:
            problems.append(_problem(file, error))
    return problems


def _load_entry_points() -> list[str]:
    from importlib.metadata import entry_points

    problems = []
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            point.load()
        except DuplicateError:
            raise
        except Exception as error:
            problems.append(f"entry point {point.value}: {type(error).__name__}: {error}")
    return problems


def _problem(file: Path, error: Exception) -> str:
    """`file:line: Error: message`, with the deepest line that lies in the file itself."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file.resolve())]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else 1
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{file}:{line}: {type(error).__name__}: {' '.join(message.split())}"
