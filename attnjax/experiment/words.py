"""Texts that several commands print: changed fields and durations."""

import enum
from typing import Any


def changes_text(changes: dict[str, Any]) -> str:
    """Returns changed fields and their values as one line, members of an `Enum` by their names.

    >>> changes_text({"model.heads": 8, "data.locales": ["de", "fr"], "train.learning_rate": 0.002})
    'model.heads=8 data.locales=de,fr train.learning_rate=0.002'
    """
    return " ".join(f"{name}={_text(value)}" for name, value in changes.items())


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return value.name if isinstance(value, enum.Enum) else str(value)


def duration(seconds: float) -> str:
    """Returns a duration in the largest unit that it fills.

    >>> duration(42), duration(90), duration(5400), duration(200000)
    ('42 s', '1.5 min', '1.5 h', '2.3 d')
    """
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
