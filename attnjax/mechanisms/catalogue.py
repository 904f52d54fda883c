"""The catalogue: every mechanism by name, those of this package and those that others registered."""

import difflib
import functools
from collections.abc import Iterable
from typing import TypeVar

from attnjax.config import InputError
from attnjax.mechanisms import (
    classic,
    cross,
    dynamic,
    graph,
    latent,
    linear,
    mixers,
    recipes,
    recurrent,
    softmax,
    sparse,
    spatial,
)
from attnjax.mechanisms.base import Mechanism, Recurrence

ENTRY_POINT_GROUP = "attnjax.mechanisms"
LOADED_FILE = "attnjax_experiment_"
"""The modules of files of experiments are called so."""

Made = TypeVar("Made", bound=Mechanism)

_FAMILIES = (
    softmax,
    recipes,
    classic,
    linear,
    recurrent,
    latent,
    dynamic,
    cross,
    spatial,
    graph,
    mixers,
    sparse,
)
_TABLE: dict[str, Mechanism] = {row.name: row for family in _FAMILIES for row in family.ROWS}


def table(kind: type[Made] = Mechanism) -> dict[str, Made]:  # type: ignore[assignment]
    """Returns every mechanism of a kind by name, in the order of their registration.

    >>> from attnjax.mechanisms import Recurrence
    >>> list(table(Recurrence))[:3]
    ['linear', 'retention', 'lightning']
    """
    return {name: row for name, row in _TABLE.items() if isinstance(row, kind)}


def find(name: str) -> Mechanism:
    """Returns the mechanism of this name.

    Raises:
      InputError: there is none; it names the nearest.

    >>> find("gla").paper.arxiv
    '2312.06635'
    >>> find("entmx")
    Traceback (most recent call last):
    attnjax.config.InputError: unknown mechanism 'entmx'; did you mean entmax?
    """
    problems = [] if name in _TABLE else load_entry_points()
    if name in _TABLE:
        return _TABLE[name]
    broken = "".join(f"; not loaded: {problem}" for problem in problems)
    raise InputError(f"unknown mechanism {name!r}{_nearest(name, _TABLE)}{broken}")


def recurrence(name: str) -> Recurrence:
    """Returns the recurrence of this name. Raises InputError where that is none, or of another kind."""
    row = find(name)
    if not isinstance(row, Recurrence):
        raise InputError(
            f"mechanism {name!r} is no recurrence: expected one of {', '.join(table(Recurrence))}"
        )
    return row


def register(row: Mechanism) -> Mechanism:
    """Makes a mechanism known to configs, sweeps and the command line, and returns it.

    Raises:
      InputError: another mechanism has its name.
    """
    known = _TABLE.get(row.name)
    if known is not None and (known.place != row.place or not row.place):
        places = " and ".join(found.place or "attnjax" for found in (known, row))
        raise InputError(f"mechanism {row.name!r} is defined twice: {places}")
    _TABLE[row.name] = row
    return row


@functools.cache
def load_entry_points() -> list[str]:
    """Loads the modules of installed packages that register mechanisms, once; returns what failed to load."""
    from importlib.metadata import entry_points

    problems = []
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            point.load()
        except InputError:
            raise
        except Exception as error:
            problems.append(f"entry point {point.value}: {type(error).__name__}: {error}")
    return problems


def files_of_own() -> list[str]:
    """Returns the files of experiment folders that registered mechanisms, which other processes load too."""
    own = [row for row in _TABLE.values() if getattr(row.target, "__module__", "").startswith(LOADED_FILE)]
    return sorted({row.place.rpartition(":")[0] for row in own})


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else "; `attnjax list mechanisms` names them all"
