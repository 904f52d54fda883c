"""Numbers as people read them: no more digits than mean something."""

import enum
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

SIGNIFICANT_DIGITS = 4


def numeric(values: Sequence[Any]) -> bool:
    """Returns True if all values are numbers; True and False are not."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def shown(value: Any, digits: int = SIGNIFICANT_DIGITS) -> str:
    """Returns the value with at most so many significant digits, where it is no whole number.

    A member of an `Enum` is shown by its name, as the command line takes it.

    >>> shown(0.0031622776601683794), shown(0.1), shown(20000), shown("pre")
    ('0.003162', '0.1', '20000', 'pre')
    """
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.{digits}g}"
    if isinstance(value, list | tuple):
        return f"({', '.join(shown(item, digits) for item in value)})"
    return value.name if isinstance(value, enum.Enum) else str(value)


def labels(values: Sequence[Any]) -> list[str]:
    """Returns the values of an axis with as few digits as tell them apart, three at least.

    >>> labels([0.1, 0.25, 1 / 3]), labels([0.9999, 0.99999]), labels([True, None])
    (['0.1', '0.25', '0.333'], ['0.9999', '0.99999'], ['True', 'None'])
    """
    numbers = sorted({value for value in values if type(value) in (int, float) and math.isfinite(value)})
    gap = min((after - before for before, after in itertools.pairwise(numbers)), default=math.inf)
    for digits in range(3, 17):
        if all(abs(float(shown(number, digits)) - number) <= gap / 20 for number in numbers):
            return [shown(value, digits) for value in values]
    return [str(value) for value in values]


def with_spread(mean: float, sd: float | None) -> str:
    """Returns a mean ± its standard deviation, both to the digits that the deviation leaves certain.

    >>> with_spread(81.61, 6.0), with_spread(0.98765, 0.0123), with_spread(1234.0, 57.0)
    ('82 ± 6', '0.988 ± 0.012', '1230 ± 60')
    """
    return shown(mean) if sd is None else " ± ".join(pair(mean, sd))


def pair(mean: float, sd: float) -> tuple[str, str]:
    """Returns what `with_spread` joins.

    The deviation has one or two digits: two where the first three are 100 to 354, else one (Particle Data
    Group, Review of Particle Physics, section 5.3).
    """
    if sd <= 1e-9 * abs(mean):  # Equal numbers; their mean may miss them by a rounding.
        return shown(mean), "0"
    place = decimals(sd)
    if place > 6 or abs(mean) >= 1e9:
        return shown(mean), shown(sd, 2)
    rounded = [f"{round(value, place) + 0.0:.{max(0, place)}f}" for value in (mean, sd)]
    return rounded[0], rounded[1]


def decimals(sd: float) -> int:
    """Returns the decimal place to which a number with this standard deviation, above 0, is certain.

    >>> decimals(6.0), decimals(0.12), decimals(0.0097), decimals(57.0)
    (0, 2, 3, -1)
    """
    exponent = math.floor(math.log10(sd))
    leading = round(sd / 10.0 ** (exponent - 2))  # The first three digits.
    if leading >= 950:
        return -exponent
    return 1 - exponent if leading < 355 else -exponent


def bounds(metric: str, values: Iterable[float]) -> tuple[float, float]:
    """Returns the least and the greatest value that a metric can take, as far as its name tells.

    A percentage, by its name or as one of the metrics that this project counts in percent, lies in 0 to 100,
    an accuracy that is none in 0 to 1: unless a value shows that the name means something else. Others may be
    any number.

    >>> bounds("test/exact match %", [81.6, 99.0]), bounds("growth %", [140.0])
    ((0.0, 100.0), (-inf, inf))
    """
    name, found = metric.rpartition("/")[2].lower().replace("_", " "), list(values)
    highest = None
    if "%" in name or any(word in name for word in ("exact match", "chrf", "bleu")):
        highest = 100.0
    elif "accuracy" in name:
        highest = 1.0 if max(found, default=0.0) <= 1 else 100.0
    if highest is None or not all(0 <= value <= highest for value in found):
        return -math.inf, math.inf
    return 0.0, highest
