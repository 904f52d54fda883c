"""The axes of a sweep as the command line writes them: lists of values, and ranges to draw from.

model.heads=2,4,8                    these values
data.text="a, b",c                   likewise: what stands in quotes, of either kind, is one text
model.mechanism=gla,window(size=8)   likewise: commas inside of parentheses part nothing
train.dropout=0..0.3                 any number from 0 to 0.3
train.learning_rate=log:1e-4..1e-2   likewise, evenly in its logarithm
"""

import math
import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnjax.config import InputError, require
from attnjax.experiment.changes import field_type
from attnjax.experiment.serialize import decode_value, holds_several, type_name

if TYPE_CHECKING:
    import numpy as np

# In quotes from end to end, or up to the next comma outside of parentheses.
_ITEM = re.compile(r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<plain>(?:\([^()]*\)|[^,])*?))\s*,""")
# A slash is never part of a number, but "../pairs.tsv" is a path.
_RANGE = re.compile(r"(log:)?([^,/]+?)\.\.([^,/]+)")


@dataclass(frozen=True)
class Categorical:
    """One of these values, each as likely as the others."""

    values: tuple[Any, ...]

    @property
    def size(self) -> int:
        """The number of values."""
        return len(self.values)

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that show what kinds there are: all of them."""
        return self.values

    def sample(self, rng: "np.random.Generator") -> Any:
        """Returns one of the values."""
        return self.values[rng.integers(self.size)]


@dataclass(frozen=True)
class Range:
    """A number in [low, high], evenly spread in itself or (`log`) in its logarithm; low < high."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    @property
    def size(self) -> float:
        """The number of values; infinite for real numbers."""
        return self.high - self.low + 1 if self.integer else math.inf

    @property
    def ends(self) -> tuple[Any, ...]:
        """The least and the greatest value."""
        return (int(self.low), int(self.high)) if self.integer else (self.low, self.high)

    def sample(self, rng: "np.random.Generator") -> float:
        """An int where `integer`, else a float."""
        if not self.integer:
            return self._between(self.low, self.high, rng)
        # Half a step beyond either end: the ends then get as large a share as the numbers between them.
        number = round(self._between(self.low - 0.5, self.high + 0.5, rng))
        return min(max(number, self.low), self.high)

    def _between(self, low: float, high: float, rng: "np.random.Generator") -> float:
        if not self.log:
            return float(rng.uniform(low, high))
        number = math.exp(rng.uniform(math.log(low), math.log(high)))
        # exp(log(x)) may miss x by a rounding.
        return min(max(number, low), high)


def parse_axes(config: Any, arguments: Sequence[str], *, flag: str = "--grid") -> dict[str, list[Any]]:
    """The values of each axis, of the types that the config's annotations ask for.

    >>> from attnjax.train.config import TrainConfig
    >>> parse_axes(TrainConfig(), ["steps=100,200", "dropout=0,0.1"])
    {'steps': [100, 200], 'dropout': [0.0, 0.1]}

    Raises InputError, which begins with `flag`, for a field that the config does not have, a value of the
    wrong type, an empty one, and for an axis or a value that is given twice.
    """
    given = _given(config, arguments, flag)
    return {name: _values(text, annotation, f"{flag} {name}") for name, annotation, text in given}


def parse_space(
    config: Any, arguments: Sequence[str], *, flag: str = "--space"
) -> dict[str, Categorical | Range]:
    """The values or the range of each axis.

    >>> from attnjax.train.config import TrainConfig
    >>> parse_space(TrainConfig(), ["learning_rate=log:1e-4..1e-2"])
    {'learning_rate': Range(low=0.0001, high=0.01, log=True, integer=False)}

    Raises InputError as `parse_axes` does, and for a range that is empty, of a field that is no number, or
    logarithmic without being positive.
    """
    given = _given(config, arguments, flag)
    return {name: _domain(text, annotation, f"{flag} {name}") for name, annotation, text in given}


def _given(config: Any, arguments: Sequence[str], flag: str) -> Iterator[tuple[str, Any, str]]:
    """The name, annotation and text of each axis."""
    seen = set()
    for argument in arguments:
        name, equals, text = argument.partition("=")
        require(bool(equals), f"{flag} is {argument!r}: expected FIELD=VALUES, such as train.steps=100,200")
        annotation = field_type(config, name, flag)
        require(name not in seen, f"{flag} {name} is given twice")
        require(
            not holds_several(annotation),
            f"{flag} {name} is a {type_name(annotation)}: expected a field that holds one value",
        )
        seen.add(name)
        yield name, annotation, text


def _values(text: str, annotation: Any, label: str) -> list[Any]:
    values: list[Any] = []
    for item, quoted in _items(text):
        require(bool(item) or quoted, f"{label} is {text!r}: expected values with commas between them")
        values.append(_value(item, annotation, label, quoted=quoted))
        require(values[-1] not in values[:-1], f"{label} has {item} twice")
    return values


def _items(text: str) -> Iterator[tuple[str, bool]]:
    """Yields each text between commas, and True if it stands in quotes.

    >>> list(_items('1, "a, b",c(d, e)'))
    [('1', False), ('a, b', True), ('c(d, e)', False)]
    """
    for match in _ITEM.finditer(f"{text},"):
        kind = str(match.lastgroup)
        yield match[kind], kind != "plain"


def _value(text: str, annotation: Any, label: str, *, quoted: bool = False) -> Any:
    """The first reading of `text` that the annotation allows; the special ones come first."""
    for data in [text] if quoted else _readings(text):
        try:
            return decode_value(annotation, data, label)
        except InputError:
            continue
    raise InputError(f"{label} is {text!r}: expected {type_name(annotation)}")


def _readings(text: str) -> Iterator[Any]:
    words = {"None": None, "True": True, "true": True, "False": False, "false": False}
    if text in words:
        yield words[text]
    for number in (int, float):
        try:
            yield number(text)
        except ValueError:
            continue
    yield text


def _domain(text: str, annotation: Any, label: str) -> Categorical | Range:
    match = _RANGE.fullmatch(text)
    if match is None or text.strip()[:1] in ("'", '"'):
        return Categorical(tuple(_values(text, annotation, label)))
    number = _number(annotation)
    if number is None:
        raise InputError(f"{label} is {text!r}, a range: expected {type_name(annotation)}")
    low, high = (_value(bound, number, label) for bound in match.groups()[1:])
    require(low < high, f"{label} is {text!r}: expected a range LOW..HIGH with LOW < HIGH")
    require(match[1] is None or low > 0, f"{label} is {text!r}: a logarithmic range begins above 0")
    return Range(low, high, log=match[1] is not None, integer=number is int)


def _number(annotation: Any) -> type | None:
    """Returns float or int if the annotation, or a side of its union, is that type; else None."""
    options = (annotation, *typing.get_args(annotation))
    return next((number for number in (float, int) if number in options), None)
