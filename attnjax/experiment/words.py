"""Texts that several commands print: changed fields and durations."""

from typing import Any


def changes_text(changes: dict[str, Any]) -> str:
    """Returns changed fields and their values as one line.

    >>> changes_text({"model.heads": 8, "data.locales": ["de", "fr"], "train.learning_rate": 0.002})
    'model.heads=8 data.locales=de,fr train.learning_rate=0.002'
    """
    shown = {name: ",".join(map(str, x)) if isinstance(x, list) else str(x) for name, x in changes.items()}
    return " ".join(f"{name}={text}" for name, text in shown.items())


def duration(seconds: float) -> str:
    """Returns a duration in the largest unit that it fills.

    >>> duration(42), duration(90), duration(5400), duration(200000)
    ('42 s', '1.5 min', '1.5 h', '2.3 d')
    """
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
