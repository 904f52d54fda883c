"""The catalogue: every mechanism by name, those of this package and those that others registered."""

import difflib
from collections.abc import Iterable
from typing import TypeVar

from attnjax.config import InputError
from attnjax.mechanisms import linear, recipes, softmax
from attnjax.mechanisms.base import Mechanism, Recurrence

Made = TypeVar("Made", bound=Mechanism)

_TABLE: dict[str, Mechanism] = {row.name: row for row in (*softmax.ROWS, *recipes.ROWS, *linear.ROWS)}


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
    if name in _TABLE:
        return _TABLE[name]
    raise InputError(f"unknown mechanism {name!r}{_nearest(name, _TABLE)}")


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


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else "; `attnjax list mechanisms` names them all"
