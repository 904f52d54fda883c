"""Named sweeps: a decorator on a function, in an experiment's file, that yields the changes of each trial.

    @sweep(Translation, metric="held-out dates/exact match %", mode="max", base={"train.steps": 600})
    def widths():
        '''How wide must the model be?'''
        for dim in (32, 64, 128):
            yield {"model.dim": dim}

Reading this registry imports no jax.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from attnjax.config import InputError, require
from attnjax.experiment.registry import Definition, Experiment, find_of, known, known_of, origin, register

Mode = Literal["max", "min"]
Made = TypeVar("Made", bound=Callable[[], Iterator[dict[str, Any]]])


@dataclasses.dataclass(frozen=True)
class NamedSweep(Definition):
    """One registered sweep of an experiment: `make()` yields the changes of each trial, by dotted name.

    `base`: changes of the experiment's default config that all trials share. `metric`: ROW/COLUMN of the
    evaluation table; None stands for the task's monitor at the last validation. `mode`: which end is better.
    """

    kind = "sweep"
    experiment: Experiment
    base: dict[str, Any]
    metric: str | None
    mode: Mode | None

    @property
    def description(self) -> str:
        """The function's docstring."""
        return inspect.getdoc(self.make) or ""

    def changes(self) -> list[dict[str, Any]]:
        """Returns the changes of each trial. Raises InputError if `make` yields anything but dictionaries."""
        changes = list(self.make())
        for change in changes:
            if not isinstance(change, dict):
                raise InputError(f"{self.place}: sweep {self.name} yields {change!r}: expected a dictionary")
        return changes


def sweep(
    experiment: Callable[..., Any],
    *,
    metric: str | None = None,
    mode: Mode | None = None,
    base: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Callable[[Made], Made]:
    """Registers a generator function as a sweep of `experiment`: a config class or a preset function.

    The name is the function's, unless `name=` gives another; the other arguments are as in `NamedSweep`.
    Raises InputError for an unknown mode, a metric that is not ROW/COLUMN, something that is no experiment,
    and DuplicateError for a name that an experiment or another sweep has.
    """

    def decorate(made: Made) -> Made:
        file, line = origin(made)
        called = name or made.__name__
        require(
            mode in ("max", "min", None), f"sweep {called}: mode is {mode!r}: expected 'max', 'min' or None"
        )
        require_metric(f"sweep {called}: metric", metric)
        owner = _experiment(experiment, f"sweep {called}")
        register(NamedSweep(called, made, file, line, owner, dict(base or {}), metric, mode))
        return made

    return decorate


def known_sweeps() -> list[NamedSweep]:
    """Every sweep registered so far, by name."""
    return known_of(NamedSweep)


def find_sweep(name: str, problems: Iterable[str] = ()) -> NamedSweep:
    """The sweep called `name`. Raises InputError with the nearest names when there is none."""
    return find_of(NamedSweep, name, problems)


def require_metric(label: str, metric: str | None) -> None:
    """Raises InputError, which begins with `label`, for a metric that is not ROW/COLUMN; None passes."""
    row, _, column = ("ROW/COLUMN" if metric is None else metric).partition("/")
    whole = bool(row.strip() and column.strip())
    require(whole, f"{label} is {metric!r}: expected 'ROW/COLUMN' of the evaluation table")


def _experiment(made: Callable[..., Any], label: str) -> Experiment:
    for candidate in known():
        if candidate.make is made:
            return candidate
    shown = getattr(made, "__qualname__", repr(made))
    raise InputError(f"{label}: {shown} is no experiment: expected what @experiment decorates")
