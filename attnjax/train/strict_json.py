"""JSON that every reader takes: it has no NaN and no infinity, so a number that is not finite is null.

What was a number is read back as NaN by `numbers`; whether it was an infinity is lost.
"""

import json
import math
from typing import Any


def dumps(data: Any, **options: Any) -> str:
    """Returns the JSON text of `data`, as `json.dumps` with these options does.

    >>> dumps({"loss": float("nan"), "steps": [1, float("inf")]})
    '{"loss": null, "steps": [1, null]}'
    """
    return json.dumps(_finite(data), allow_nan=False, **options)


def numbers(data: Any) -> Any:
    """Returns `data`, read from JSON, with NaN for every null.

    >>> numbers({"test": {"loss": None, "examples": 3}})
    {'test': {'loss': nan, 'examples': 3}}
    """
    if isinstance(data, dict):
        return {name: numbers(value) for name, value in data.items()}
    return math.nan if data is None else data


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
